import FoundationEssentials
import ONNXQuantizer
import TestSupport
import Testing

/// Engines of real networks, through the public interface: built, written, opened, and held against the Q/DQ model.
@Suite struct EngineTests {
  static let targets = ["integer", "tensorrt", "onnxruntime"]

  /// Builds an engine for a target and verifies it; gives its path and what verification found.
  private func build(
    _ model: String, _ target: String, _ statistics: CalibrationStatistics, _ data: DataOptions, into folder: String,
    _ settings: BuildSettings = BuildSettings()
  ) throws -> (path: String, result: VerificationResult) {
    var insertion = InsertionSettings()
    insertion.target = target
    let quantized = "\(folder)/\(target).qdq.onnx"
    try Insertion(insertion).run(model, statistics: statistics).write(to: quantized, replacingForeign: true)
    let file = try ModelFile(path: quantized)
    let path = "\(folder)/\(target).engine"
    let built = try Build(settings).run(file)
    try built.write(to: path)
    #expect(try Build(settings).run(file).encoded == built.encoded, "two builds differ")
    #expect(try EngineReport(path: path, checksContent: true).changed == [])
    return (
      path,
      try VerificationRun(data).run(ModelFile(path: model), quantized: file, engine: ModelFile(runnable: path))
    )
  }

  @Test(arguments: targets) func enginesOfTheDigitsNetworkAreTheNetwork(_ target: String) throws {
    let folder = try TestFiles.scratch("engine-digits")
    for rounding in BuildSettings.Rounding.allCases {
      var settings = BuildSettings()
      settings.rounding = rounding
      let (path, result) = try build(
        Digits.path, target, Digits.statistics(), Digits.options("test", limit: 40), into: folder, settings)
      #expect(result.engine?.differing == 0 && result.samples == 40)
      #expect(result.engine?.rounding == rounding.rawValue)
      let report = try EngineReport(path: path)
      #expect(report.stamp["onnxq.target"] == target)
      #expect(report.steps.filter { $0.kind == "convolution" && $0.bytes > 0 }.count == 5)
    }
    try FileManager.default.removeItem(atPath: folder)
  }

  @Test(arguments: [
    ("mobilenetv1-025-imagenet/mobilenet_v1_0.25_224_nchw.onnx", "imagenet-sample/calib", "imagenet-tf"),
    ("cifar10-resnet20/resnet20.onnx", "arrays/cifar10.npz:calib_x", "cifar10"),
    ("yolox-nano/yolox_nano.onnx", "imagenet-sample/calib", "yolox"),
  ]) func enginesOfRealNetworksAreTheNetworks(model: String, data: String, preset: String) throws {
    guard let shared = TestFiles.shared, let model = TestFiles.sharedModel(model) else { return }
    var options = DataOptions(path: "\(shared)/\(data)")
    options.preset = preset
    options.limit = 2
    let folder = try TestFiles.scratch("engine")
    let statistics = try Calibration(options).run(ModelFile(path: model)).statistics
    for target in Self.targets {
      let (_, result) = try build(model, target, statistics, options, into: folder)
      #expect(result.engine?.differing == 0 && result.samples == 2, "\(model), \(target)")
    }
    try FileManager.default.removeItem(atPath: folder)
  }

  @Test func anotherEngineFailsVerification() throws {
    let folder = try TestFiles.scratch("engine-other")
    let statistics = try Digits.statistics()
    let data = Digits.options("test", limit: 4)
    let (path, _) = try build(Digits.path, "onnxruntime", statistics, data, into: folder)
    let quantized = folder + "/integer.qdq.onnx"
    try Digits.insert("integer", statistics).write(to: quantized)
    let result = try VerificationRun(data).run(
      ModelFile(path: Digits.path), quantized: ModelFile(path: quantized), engine: ModelFile(runnable: path))
    #expect(!result.passed && result.engine?.differing == 4)
    #expect(result.failures.contains { $0.contains("differs from the Q/DQ model") })
  }

  @Test func onlyWhatOnnxqWroteIsReplaced() throws {
    let folder = try TestFiles.scratch("engine-foreign")
    let quantized = folder + "/m.qdq.onnx"
    try Digits.insert("integer", try Digits.statistics()).write(to: quantized)
    let result = try Build().run(ModelFile(path: quantized))
    let path = folder + "/m.engine"
    try Data("someone's".utf8).write(to: URL(filePath: path))
    #expect(throws: QuantizerError.self) { try result.write(to: path) }
    #expect(try Data(contentsOf: URL(filePath: path)) == Data("someone's".utf8))
    try result.write(to: path, replacingForeign: true)
    try result.write(to: path)
    #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == result.encoded)
    // An engine is no ONNX model, and says so.
    let error = #expect(throws: QuantizerError.self) { try ModelFile(path: path) }
    #expect(error?.message.contains("onnxq engine") == true)
  }

  @Test func integerOnlyRefusesFloatIslandsAndFloatModelsAreNoEngines() throws {
    let folder = try TestFiles.scratch("engine-refused")
    let statistics = try Digits.statistics()
    var settings = BuildSettings()
    settings.integerOnly = true
    for (target, isRefused) in [("integer", false), ("tensorrt", true)] {
      let path = "\(folder)/\(target).qdq.onnx"
      try Digits.insert(target, statistics).write(to: path)
      let file = try ModelFile(path: path)
      if isRefused {
        let error = #expect(throws: QuantizerError.self) { try Build(settings).run(file) }
        #expect(error?.message.contains("stays float") == true)
      } else {
        #expect(try Build(settings).run(file).floatIslands.isEmpty)
      }
    }
    #expect(throws: QuantizerError.self) { try Build().run(ModelFile(path: Digits.path)) }
  }
}
