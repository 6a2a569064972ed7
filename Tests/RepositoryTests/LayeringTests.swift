import FoundationEssentials
import Testing

/// A target imports what `Package.swift` lists for it, and nothing else of this package.
@Suite struct LayeringTests {
  static let root = String(#filePath.dropLast("/Tests/RepositoryTests/LayeringTests.swift".count))

  /// Target → what its manifest entry depends on.
  static let dependencies: [String: Set<String>] = {
    guard let data = FileManager.default.contents(atPath: root + "/Package.swift") else { return [:] }
    let manifest = String(decoding: data, as: UTF8.self)
    var result: [String: Set<String>] = [:]
    // Each entry starts with its name in quotes and ends before the next one: the first quoted word is the target.
    for opening in ["layer(", ".executableTarget("] {
      for part in manifest.components(separatedBy: opening).dropFirst() {
        var depth = 1
        let body = part.prefix { character in
          if character == "(" { depth += 1 }
          if character == ")" { depth -= 1 }
          return depth > 0
        }
        let words = body.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
          .filter { $0.offset % 2 == 1 }.map { String($0.element) }
        if let name = words.first, words.count >= 1 { result[name] = Set(words.dropFirst()) }
      }
    }
    return result
  }()

  static let targets = dependencies.keys.filter { FileManager.default.fileExists(atPath: root + "/Sources/\($0)") }
    .sorted()

  @Test(arguments: targets) func importsStayInTheirLayer(target: String) throws {
    let ours = Set(try FileManager.default.contentsOfDirectory(atPath: Self.root + "/Sources"))
    let allowed = try #require(Self.dependencies[target])
    for file in Self.swiftFiles(Self.root + "/Sources/" + target) {
      let text = String(decoding: try #require(FileManager.default.contents(atPath: file)), as: UTF8.self)
      for line in text.split(separator: "\n") {
        let words = line.split(separator: " ")
        guard let position = words.firstIndex(of: "import"), position <= 1, position + 1 < words.count else { continue }
        let module = String(words[position + 1])
        if ours.contains(module) {
          #expect(
            allowed.contains(module), "\(file): imports \(module), which Package.swift does not list for \(target)")
        }
      }
    }
  }

  @Test func onlyTheFormatLayerSeesTheGeneratedC() {
    for (target, allowed) in Self.dependencies where target != "ONNXFormat" {
      #expect(!allowed.contains("COnnx"), "\(target) must not depend on COnnx")
    }
  }

  @Test func targetsAreFound() { #expect(Self.targets.count >= 13) }

  static func swiftFiles(_ folder: String) -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.flatMap { name -> [String] in
      let path = folder + "/" + name
      return name.hasSuffix(".swift") ? [path] : name.contains(".") ? [] : swiftFiles(path)
    }
  }
}
