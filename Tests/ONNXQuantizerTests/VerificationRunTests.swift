import FoundationEssentials
import ONNXQuantizer
import TestSupport
import Testing

@Suite struct VerificationRunTests {
  private func quantize(_ target: String, in folder: String) throws -> ModelFile {
    let path = folder + "/\(target).onnx"
    try Digits.insert(target, Digits.statistics(Digits.options(limit: 64))).write(to: path)
    return try ModelFile(path: path)
  }

  @Test(arguments: ["tensorrt", "onnxruntime", "integer"]) func digitsPass(target: String) throws {
    let folder = try TestFiles.scratch("verify")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var run = VerificationRun(Digits.options("test", limit: 100))
    run.labels = TestFiles.fixture("digits/labels.txt")
    let result = try run.run(ModelFile(path: Digits.path), quantized: quantize(target, in: folder))
    #expect(result.passed && result.failures.isEmpty && result.samples == 100)
    let topOne = try #require(result.topOne)
    #expect(topOne.labels == 100)
    let float = try #require(topOne.float)
    #expect(float >= 97)
    #expect(float - (topOne.integer ?? 0) <= 2 && float - (topOne.fakeQuant ?? 0) <= 2)
    #expect((result.macs?.share ?? 0) > 0.5)
    #expect(result.tensors.map(\.sqnrDB) == result.tensors.map(\.sqnrDB).sorted())
    #expect(result.text().hasSuffix("verdict: pass"))
  }

  @Test func aDemandThatIsNotMetFails() throws {
    let folder = try TestFiles.scratch("demand")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var run = VerificationRun(Digits.options("test", limit: 10))
    run.demands.minimumSQNR = 200
    let result = try run.run(ModelFile(path: Digits.path), quantized: quantize("integer", in: folder))
    #expect(!result.passed && result.verdict == "fail")
    #expect(result.failures.contains { $0.contains("SQNR") && $0.contains("200.0 dB") })
    #expect(result.text().contains("fails: ") && result.text().hasSuffix("verdict: fail"))
  }

  @Test func theFloatExecutorAgreesWithPyTorch() throws {
    var run = VerificationRun(Digits.options("test", limit: nil))
    run.reference = TestFiles.fixture("digits/reference.npy")
    let result = try run.run(ModelFile(path: Digits.path), quantized: nil)
    #expect(result.passed && result.samples == 450)
    #expect(result.outputs.map(\.pair) == ["reference/float"])
    #expect((result.outputs.first?.maxAbsolute ?? 1) < 2e-5)
  }

  @Test func aModelOfOtherOutputsIsRefused() throws {
    let other = try ModelFile(path: TestFiles.fixture("models/mnist-8/mnist.onnx"))
    let error = try #require(throws: QuantizerError.self) {
      try VerificationRun(Digits.options("test", limit: 1)).run(ModelFile(path: Digits.path), quantized: other)
    }
    #expect(error.kind == .badInput)
  }
}

@Suite struct ConformanceTestTests {
  @Test func foldersWithoutCasesAreNamed() throws {
    for path in [TestFiles.fixture("nowhere"), TestFiles.fixture("digits/calibration")] {
      let error = try #require(throws: QuantizerError.self) { try ConformanceTest().find(in: path) }
      #expect(error.kind == .badInput && error.message.contains(path))
    }
  }
}
