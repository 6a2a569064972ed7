import FoundationEssentials
import ONNXQuantizer
import TestSupport
import Testing

@Suite struct InsertionTests {
  static let targets = Insertion.targets

  @Test func theTargetsAreKnown() {
    for name in ["tensorrt", "onnxruntime", "integer"] { #expect(Self.targets.contains(name)) }
    #expect(InsertionSettings().target == "tensorrt")
  }

  @Test(arguments: targets) func everyDecisionHasARuleAndAReason(target: String) throws {
    let result = try Digits.insert(target, Digits.statistics())
    #expect(result.target == target && !result.unchanged)
    #expect(result.pairs > 0 && result.nodes.quantized > 0)
    #expect((result.macs.share ?? 0) > 0.5)
    #expect(!result.decisions.isEmpty && !result.outcomes.isEmpty)
    for decision in result.decisions {
      #expect(!decision.rule.isEmpty && !decision.reason.isEmpty, "\(decision.tensor)")
    }
    for node in result.outcomes { #expect(!node.rule.isEmpty && !node.reason.isEmpty, "\(node.name)") }
    for decision in result.decisions {
      guard let scales = decision.scale else { continue }
      #expect(scales.allSatisfy { $0 > 0 && $0.isFinite }, "\(decision.tensor)")
      #expect(decision.zeroPoint?.count == scales.count && decision.elementType != nil, "\(decision.tensor)")
      #expect((decision.axis == nil) == (scales.count == 1) || decision.axis != nil, "\(decision.tensor)")
    }
  }

  @Test(arguments: targets) func twiceGivesTheSameBytes(target: String) throws {
    let statistics = try Digits.statistics()
    let first = try Digits.insert(target, statistics).encoded()
    #expect(try Digits.insert(target, statistics).encoded() == first)
    #expect(try Digits.insert(target, Digits.statistics(threads: 2)).encoded() == first)
  }

  @Test(arguments: targets) func aSecondInsertionChangesNothing(target: String) throws {
    let folder = try TestFiles.scratch("insertion")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/digits.qdq.onnx"
    let statistics = try Digits.statistics()
    try Digits.insert(target, statistics).write(to: path)
    let written = try #require(FileManager.default.contents(atPath: path))
    #expect(try ModelFile(path: path).isQuantized)

    let again = try Digits.insert(target, statistics, into: path)
    #expect(again.unchanged)
    #expect(try Data(again.encoded()) == written)
  }

  @Test func theSourceStaysAsItIs() throws {
    let before = try #require(FileManager.default.contents(atPath: Digits.path))
    let model = try ModelFile(path: Digits.path)
    _ = try Digits.insert("integer", Digits.statistics())
    #expect(FileManager.default.contents(atPath: Digits.path) == before)
    #expect(!model.isQuantized)
  }

  @Test func inputsAndOutputsKeepTheirNames() throws {
    let folder = try TestFiles.scratch("ports")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let float = try ModelFile(path: Digits.path)
    let statistics = try Digits.statistics()
    for target in Self.targets {
      let path = folder + "/\(target).onnx"
      try Digits.insert(target, statistics).write(to: path)
      let quantized = try ModelFile(path: path)
      #expect(quantized.inputs.map(\.name) == float.inputs.map(\.name))
      #expect(quantized.outputs.map(\.name) == float.outputs.map(\.name))
      #expect(quantized.inputs.map(\.elementType) == ["float"])
    }
  }

  @Test func modelsOfOthersAreNotReplaced() throws {
    let folder = try TestFiles.scratch("foreign-model")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/model.onnx"
    let float = try #require(FileManager.default.contents(atPath: Digits.path))
    try float.write(to: URL(filePath: path))
    let result = try Digits.insert("tensorrt", Digits.statistics(Digits.options(limit: 2)))
    let error = try #require(throws: QuantizerError.self) { try result.write(to: path) }
    #expect(error.kind == .badInput && error.message.contains(path))
    #expect(FileManager.default.contents(atPath: path) == float)
    try result.write(to: path, replacingForeign: true)
    // Now it is ours.
    try result.write(to: path)
  }

  @Test func whereNothingIsInsertedTheCopyIsReplacedToo() throws {
    let folder = try TestFiles.scratch("copy")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var settings = InsertionSettings()
    settings.exclude = ["op:.*"]
    let result = try Insertion(settings).run(Digits.path, statistics: Digits.statistics())
    #expect(result.unchanged)
    let path = folder + "/copy.onnx"
    for _ in 0..<2 { try result.write(to: path) }
    #expect(FileManager.default.contents(atPath: path) == FileManager.default.contents(atPath: Digits.path))
    // Of another model it would be a loss.
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.copyItem(atPath: TestFiles.fixture("models/mnist-8/mnist.onnx"), toPath: path)
    #expect(throws: QuantizerError.self) { try result.write(to: path) }
  }

  @Test func statisticsOfAnotherModelAreRefused() throws {
    let statistics = try Digits.statistics(Digits.options(limit: 1))
    let other = TestFiles.fixture("digits-qat/digits_qat.onnx")
    let error = try #require(throws: QuantizerError.self) { try Digits.insert("tensorrt", statistics, into: other) }
    #expect(error.kind == .badInput && error.message.contains("another model") && error.message.contains("calibrate"))
  }

  @Test func settingsThatMakeNoSenseAreUsage() throws {
    var settings = [InsertionSettings](repeating: InsertionSettings(), count: 4)
    settings[0].target = "abacus"
    settings[1].method = "guess"
    settings[2].method = "percentile:140"
    settings[3].exclude = ["(unfinished"]
    for settings in settings {
      let error = try #require(throws: QuantizerError.self) { try Insertion(settings) }
      #expect(error.kind == .usage, "\(error.message)")
    }
  }

  @Test func excludedNodesStayFloat() throws {
    let statistics = try Digits.statistics()
    let all = try Digits.insert("integer", statistics)
    var settings = InsertionSettings()
    settings.target = "integer"
    settings.exclude = ["op:Conv"]
    let some = try Insertion(settings).run(Digits.path, statistics: statistics)
    #expect(all.outcomes.contains { $0.opType == "Conv" && $0.quantized })
    #expect(!some.outcomes.contains { $0.opType == "Conv" && $0.quantized })
    settings.exclude = ["no_such_node"]
    #expect(throws: QuantizerError.self) { try Insertion(settings).run(Digits.path, statistics: statistics) }
  }

  @Test func dumpsShowTheGraphAfterEachPass() throws {
    var dumps: [(Int, String)] = []
    _ = try Insertion().run(Digits.path, statistics: Digits.statistics()) { number, pass, text in
      dumps.append((number, pass))
      #expect(text.contains("image"))
    }
    #expect(dumps.map(\.0) == Array(0..<dumps.count))
    #expect(dumps.first?.1 == "input" && dumps.count > 1)
  }
}
