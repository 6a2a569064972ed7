import ONNXGraph
import ONNXTensor
import OperatorLibrary
import TestSupport
import Testing

/// Shapes, types and attributes that make no sense give an error or a result, never a trap.
@Suite struct OperatorFuzzTests {
  static let operators = OperatorCatalog.all.map { "\($0.domain):\($0.opType)" }

  @Test(arguments: operators)
  func nonsenseIsAnErrorNotATrap(name: String) throws {
    let parts = name.split(separator: ":", omittingEmptySubsequences: false)
    let type = try #require(OperatorCatalog.find(domain: String(parts[0]), opType: String(parts[1])))
    for seed in 0..<200 {
      var fuzzer = OperatorFuzzer(name: name, seed: UInt64(seed))
      fuzzer.run(type)
    }
  }
}
