import ONNXFormat
import ONNXTensor

/// The right class of each sample.
///
/// A text file has lines `name,class` (or `name class`); names are those of the samples or the last part of their paths. A
/// `.npy` file, or an array as `file.npz:key`, has one integer per sample in the data set's order, shards and limits aside.
package struct Labels: Sendable {
  private var byName: [String: Int] = [:]
  private var inOrder: [Int] = []
  private let path: String

  package init(path: String) throws(DataError) {
    self.path = path
    if path.hasSuffix(".npy") {
      inOrder = try Self.integers(ArrayFile(path: path))
      return
    }
    if let range = path.firstRange(of: ".npz:") {
      let archive = try ArrayArchive(path: String(path[..<range.lowerBound]) + ".npz")
      inOrder = try Self.integers(archive.array(String(path[range.upperBound...])))
      return
    }
    let file = try mapFile(path)
    let text = String(decoding: file.bytes, as: UTF8.self)
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      if line.allSatisfy(\.isWhitespace) || line.hasPrefix("#") { continue }
      let cut = line.lastIndex { $0 == "," || $0 == "\t" || $0 == " " }
      guard let cut, let label = Int(line[line.index(after: cut)...].filter { !$0.isWhitespace }) else {
        // A heading.
        if index == 0 { continue }
        throw DataError(.damaged, "line \(index + 1) is not 'file,class': \(line.prefix(60))", at: path)
      }
      byName[String(line[..<cut])] = label
    }
    if byName.isEmpty { throw DataError(.damaged, "holds no labels", at: path, advice: "lines are 'file,class'") }
  }

  private static func integers(_ array: ArrayFile) throws(DataError) -> [Int] {
    guard array.shape.count == 1 || (array.shape.count == 2 && array.shape[1] == 1),
      let values = try array.tensor().integers
    else {
      throw DataError(
        .mismatch, "labels are one integer per sample; this is \(array.header.elementType.name)\(array.shape)",
        at: array.location)
    }
    return values
  }

  /// The labels of the samples of `data`, in order; nil for a sample that has none.
  package func labels(for data: DataSet) throws(DataError) -> [Int?] {
    if !inOrder.isEmpty {
      let last = (data.count - 1) * data.options.shardCount + data.options.shard
      guard data.count == 0 || last < inOrder.count else {
        throw DataError(.mismatch, "has \(inOrder.count) labels for \(data.totalCount) samples", at: path)
      }
      return data.names.indices.map { inOrder[$0 * data.options.shardCount + data.options.shard] }
    }
    // A list may name files from another folder: then their last parts decide, where they are unique.
    func last(_ name: String) -> String { name.split(separator: "/").last.map(String.init) ?? name }
    let byLastPart = Dictionary(byName.map { (last($0.key), Optional($0.value)) }, uniquingKeysWith: { _, _ in nil })
    let result = data.names.map { name in byName[name] ?? byName[last(name)] ?? (byLastPart[last(name)] ?? nil) }
    if result.allSatisfy({ $0 == nil }) {
      throw DataError(
        .mismatch, "has no label for any sample; the first sample is '\(data.names.first ?? "")'", at: path)
    }
    return result
  }
}
