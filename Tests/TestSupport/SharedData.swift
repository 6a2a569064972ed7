import FoundationEssentials

/// Where tests find files.
package enum TestFiles {
  /// The top folder of the checkout.
  package static let root = String(#filePath.dropLast("/Tests/TestSupport/SharedData.swift".count))

  package static func fixture(_ path: String) -> String { root + "/Fixtures/" + path }

  /// The folder of real models and data that are not in the repository: `ONNXQ_DATA`, else `shared/data` beside the
  /// checkout. nil where it is absent; in CI it must be there.
  package static let shared: String? = {
    let environment = ProcessInfo.processInfo.environment
    let path = environment["ONNXQ_DATA"] ?? root + "/../shared/data"
    if FileManager.default.fileExists(atPath: path + "/models") { return path }
    if environment["CI"] == "true" { fatalError("CI runs without the shared data at \(path): set ONNXQ_DATA") }
    print("skipped: no shared data at \(path) (set ONNXQ_DATA)")
    return nil
  }()

  package static func sharedModel(_ path: String) -> String? { shared.map { "\($0)/models/\(path)" } }

  /// The generated node tests of the onnx package (`ONNXQ_NODE_SUITE`); nil where they are absent, but not in CI.
  package static let nodeSuite: String? = {
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["ONNXQ_NODE_SUITE"], FileManager.default.fileExists(atPath: path + "/version") {
      return path
    }
    if environment["CI"] == "true" { fatalError("CI runs without the node tests: 'make node-suite', ONNXQ_NODE_SUITE") }
    print("skipped: no node tests (make node-suite, ONNXQ_NODE_SUITE)")
    return nil
  }()

  /// A new empty folder, removed at the end of the process by the system's temporary-file cleaning.
  package static func scratch(_ name: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.path + "/onnxq-\(name)-\(UInt64.random(in: 0...(.max)))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }
}

/// A small generator with a printed seed (SplitMix64, Steele et al. 2014), so that a failing case can be run again.
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
