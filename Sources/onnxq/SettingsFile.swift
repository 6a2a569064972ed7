import FoundationEssentials
import ONNXQuantizer
import Yams

/// Reads YAML into a tree that remembers lines.
enum SettingsFile {
  private static let largest = 1 << 20
  private static let mostNodes = 20_000
  private static let deepest = 16

  static func load(_ path: String) throws -> SettingsTree {
    guard let data = FileManager.default.contents(atPath: path), data.count < largest else {
      throw QuantizerError(.badInput, "\(path): cannot be read as settings (missing, or above 1 MiB)")
    }
    let node: Node?
    do { node = try Yams.compose(yaml: String(decoding: data, as: UTF8.self)) } catch {
      throw QuantizerError(.badInput, "\(path): \(error)")
    }
    guard let node else { throw QuantizerError(.badInput, "\(path): is empty") }
    // Aliases make a small file a large tree.
    var count = 0
    return try tree(node, path, depth: 0, &count)
  }

  private static func tree(_ node: Node, _ path: String, depth: Int, _ count: inout Int) throws -> SettingsTree {
    let line = node.mark?.line ?? 1
    count += 1
    guard count < mostNodes, depth < deepest else {
      throw QuantizerError(.badInput, "\(path):\(line): the file is too large or too deep for settings")
    }
    switch node {
    case .scalar(let scalar): return SettingsTree(file: path, line: line, .text(scalar.string))
    case .sequence(let items):
      var result: [SettingsTree] = []
      for item in items { result.append(try tree(item, path, depth: depth + 1, &count)) }
      return SettingsTree(file: path, line: line, .list(result))
    case .mapping(let pairs):
      var result: [SettingsTree.Entry] = []
      for (key, value) in pairs {
        result.append(
          SettingsTree.Entry(
            key: key.string ?? "", line: key.mark?.line ?? line,
            value: try tree(value, path, depth: depth + 1, &count)))
      }
      return SettingsTree(file: path, line: line, .table(result))
    default: throw QuantizerError(.badInput, "\(path):\(line): is not understood")
    }
  }
}
