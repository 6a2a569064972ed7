import FloatExecution
import FloatKernels
import FoundationEssentials
import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantCalibration
import QuantCore
import Synchronization
import TestSupport
import Testing

@Suite struct CalibrationRunTests {
  /// Relu(x) · W with a Relu output that bias correction reads along its last axis.
  static func model() -> Model {
    let graph = Graph(name: "g")
    let x = Value("x", type: .tensor(.float32, [1, 3]))
    let r = Value("r")
    let y = Value("y", type: .tensor(.float32, [1, 2]))
    graph.inputs = [Graph.Port(x)]
    graph.outputs = [Graph.Port(y)]
    let w = graph.addInitializer(named: "w", Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [3, 2]))
    graph.append(Node("Relu", name: "relu", inputs: [x], outputs: [r]))
    graph.append(Node("MatMul", name: "product", inputs: [r, w], outputs: [y]))
    let model = Model(graph: graph)
    model.irVersion = 8
    model.setOpset(17)
    return model
  }

  static func folder(_ count: Int = 9) throws -> String {
    let folder = try TestFiles.scratch("run")
    var generator = SeededGenerator(seed: 41)
    for index in 0..<count {
      let values = (0..<3).map { _ in Float.random(in: -2...2, using: &generator) }
      try write(npy(values, [1, 3]), to: "\(folder)/s\(index).npy")
    }
    return folder
  }

  static func run(
    _ folder: String, shard: String = "1/1", threads: Int = 1, options: CalibrationRun.Options = .init(),
    model: Model = model()
  ) throws -> CalibrationRun.Result {
    var selection = DataSet.Options()
    (selection.shard, selection.shardCount) = try DataSet.Options.parseShard(shard)
    let data = try DataSet(path: folder, inputs: InputDescription.inputs(of: model), options: selection)
    let run = try CalibrationRun(
      model: model, modelSHA256: "model", threads: ThreadPool(threads: threads), options: options)
    return try run.run(data)
  }

  @Test func observesAllActivations() throws {
    let file = try Self.run(try Self.folder()).file
    #expect(file.statistics.tensors.keys.sorted() == ["r", "x", "y"])
    #expect(file.statistics.samples == 9)
    let relu = try #require(file.statistics["r"])
    #expect(relu.count == 27 && relu.minimum == 0)
    #expect(relu.shape == [1, 3])
    #expect(relu.channels(axis: -1)?.means?.count == 3)
    #expect(file.statistics["x"]?.channels.isEmpty == true)
  }

  @Test func meansAreThoseOfTheData() throws {
    let folder = try Self.folder()
    let file = try Self.run(folder).file
    var sums = [0.0, 0, 0]
    for index in 0..<9 {
      let input = InputDescription(name: "x", elementType: .float32, shape: [1, 3])
      let values = try #require(try DataSet(path: "\(folder)/s\(index).npy", inputs: [input]).load(0)["x"]).array(
        Float.self)
      for channel in 0..<3 { sums[channel] += Double(max(values[channel], 0)) }
    }
    let means = try #require(file.statistics["r"]?.channels(axis: -1)?.means)
    for channel in 0..<3 { #expect(abs(means[channel] - sums[channel] / 9) < 1e-12) }
  }

  @Test func threadsAndShardsGiveTheSameBytes() throws {
    let folder = try Self.folder()
    let whole = try Self.run(folder).file
    #expect(try Self.run(folder, threads: 3).file.encoded() == whole.encoded())
    var merged = try Self.run(folder, shard: "2/3").file
    try merged.merge(try Self.run(folder, shard: "3/3", threads: 2).file)
    #expect(merged.statisticsSHA256 != whole.statisticsSHA256)
    try merged.merge(try Self.run(folder, shard: "1/3").file)
    #expect(merged.statisticsSHA256 == whole.statisticsSHA256)
    #expect(merged.encoded() == whole.encoded())
  }

  @Test func aBrokenOffRunResumes() throws {
    let folder = try Self.folder()
    let whole = try Self.run(folder).file
    var options = CalibrationRun.Options()
    let path = try TestFiles.scratch("checkpoint") + "/m.calib.partial"
    options.checkpoint = path
    options.checkpointSeconds = 0
    // The checkpoint after the fifth sample is what a kill during the sixth leaves.
    let kept = Mutex<[UInt8]>([])
    options.progress = { done, _ in
      if done == 6 { kept.withLock { $0 = (try? bytes(of: path)) ?? [] } }
    }
    _ = try Self.run(folder, options: options)
    try write(kept.withLock { $0 }, to: path)
    #expect(try StatisticsFile(path: path).note.completed == 5)
    options.progress = nil
    options.resumes = true
    let resumed = try Self.run(folder, options: options)
    #expect(resumed.resumed == 5)
    #expect(resumed.file.encoded() == whole.encoded())
    // Of other data it is no use.
    #expect(try Self.run(try Self.folder(8), options: options).resumed == 0)
  }

  @Test func unreadableSamplesAreSkippedOnlyWhenAsked() throws {
    let folder = try TestFiles.scratch("skip")
    for name in ["a", "b", "c"] { try write(try bytes(of: fixture("picture.jpg")), to: "\(folder)/\(name).jpg") }
    try write(try bytes(of: fixture("picture.jpg"))[..<300], to: "\(folder)/b.jpg")
    let model = Self.model()
    let x = Value("x", type: .tensor(.float32, [1, 3, 47, 61]))
    let y = Value("y")
    model.graph = Graph(name: "g")
    model.graph.inputs = [Graph.Port(x)]
    model.graph.outputs = [Graph.Port(y)]
    model.graph.append(Node("Relu", inputs: [x], outputs: [y]))
    let data = try DataSet(
      path: folder, inputs: InputDescription.inputs(of: model), preprocessing: try Preprocessing(preset: "raw"))
    var options = CalibrationRun.Options()
    #expect(throws: DataError.self) {
      try CalibrationRun(model: model, modelSHA256: "m", options: options).run(data)
    }
    options.skipsBad = true
    let result = try CalibrationRun(model: model, modelSHA256: "m", options: options).run(data)
    #expect(result.skipped.map(\.name) == ["b.jpg"])
    #expect(result.file.skipped == ["b.jpg"])
    #expect(result.file.statistics.samples == 2)
  }

  @Test func aFilterLimitsTheTensors() throws {
    var options = CalibrationRun.Options()
    options.tensors = ["y"]
    #expect(try Self.run(try Self.folder(2), options: options).file.statistics.tensors.keys.sorted() == ["y"])
  }

  @Test func aWrongInputIsTheModelsError() throws {
    let folder = try TestFiles.scratch("wrong")
    try write(npy([1, 2, 3, 4], [1, 4]), to: "\(folder)/s.npy")
    let error = #expect(throws: DataError.self) { try Self.run(folder) }
    #expect(try #require(error?.description).contains("'x'"))
  }

  /// The real thing: 100 digits through mnist-8.
  @Test(.enabled(if: TestFiles.shared != nil)) func mnist() throws {
    let shared = try #require(TestFiles.shared)
    let path = TestFiles.fixture("models/mnist-8/mnist.onnx")
    let model = try ModelDecoder.load(path: path)
    let data = try DataSet(
      path: "\(shared)/arrays/mnist.npz:calib_x", inputs: InputDescription.inputs(of: model),
      preprocessing: try Preprocessing(preset: "raw"))
    #expect(data.count == 100)
    var results: [StatisticsFile] = []
    for threads in [1, 2] {
      let run = try CalibrationRun(model: model, modelSHA256: "m", threads: ThreadPool(threads: threads))
      results.append(try run.run(data).file)
    }
    #expect(results[0].encoded() == results[1].encoded())
    let input = try #require(results[0].statistics["Input3"])
    #expect(input.count == 78_400 && input.minimum == 0 && input.maximum == 255)
  }
}
