import FloatExecution
import FloatKernels
import ONNXGraph
import ONNXTensor
import QuantCore

/// One pass of a model over a data set, sample by sample, that collects the statistics of every float activation.
///
/// The result is the same to the byte for any number of threads and any sharding. Memory does not grow with the number of
/// samples. One run at a time.
package final class CalibrationRun {
  package struct Options: Sendable {
    /// The tensors to observe, by name; nil for all.
    package var tensors: Set<String>?
    /// Samples that cannot be read are left out and listed.
    package var skipsBad = false
    /// Where the state of the run is kept from time to time; nil to keep none.
    package var checkpoint: String?
    package var checkpointSeconds = 30.0
    /// Takes up the checkpoint, where there is one of the same model, data and options.
    package var resumes = false
    /// Called after each sample with how many are done, of how many.
    package var progress: (@Sendable (_ done: Int, _ total: Int) -> Void)?

    package init() {}
  }

  package struct Result {
    package var file: StatisticsFile
    package var skipped: [DataSet.Skipped]
    /// Samples that a checkpoint spared this run.
    package var resumed: Int
  }

  private let model: Model
  private let executor: FloatExecutor
  private let threads: ThreadPool
  private let options: Options
  private let modelSHA256: String
  private var observers: [ObjectIdentifier: TensorObserver] = [:]
  private let names: [ObjectIdentifier: String]
  private let axes: [ObjectIdentifier: Set<Int>]

  /// - Parameter modelSHA256: `ModelIdentity` of the model's file.
  package init(
    model: Model, modelSHA256: String, threads: ThreadPool = .serial, options: Options = Options()
  ) throws {
    self.model = model
    self.modelSHA256 = modelSHA256
    self.threads = threads
    self.options = options
    executor = try FloatExecutor(model: model, threads: threads)
    names = Dictionary(uniqueKeysWithValues: model.tensorNames.map { (ObjectIdentifier($0.key), $0.value) })
    axes = ChannelAxes.axes(model)
  }

  /// Runs all samples of `data`.
  ///
  /// - Throws: `DataError` for data, `ExecutionError` with the sample's name for the model.
  package func run(_ data: DataSet) throws -> Result {
    var file = StatisticsFile(
      modelSHA256: modelSHA256,
      parts: [
        .init(
          fingerprint: try data.fingerprint(), total: UInt64(data.totalCount),
          shardCount: UInt64(data.options.shardCount), shards: [UInt64(data.options.shard)])
      ], statistics: ModelStatistics())
    file.preprocessing = data.preprocessing?.description ?? ""
    var skipped = data.skipped
    let resumed = resume(&file, data)
    // What a checkpoint left out is tried again only to say why.
    for index in 0..<resumed where file.skipped.contains(data.names[index]) {
      do throws(DataError) { _ = try data.load(index) } catch {
        skipped.append(.init(name: data.names[index], reason: error.description))
      }
    }
    if resumed == 0 { file.skipped = data.skipped.map(\.name) }
    var statistics = file.statistics
    let clock = ContinuousClock()
    var saved = clock.now
    for index in resumed..<max(resumed, data.count) {
      if let sample = try load(index, of: data, &file, &skipped) {
        try observe(sample, name: data.names[index])
        statistics.samples += 1
      }
      options.progress?(index + 1, data.count)
      if let path = options.checkpoint, index + 1 < data.count,
        saved.duration(to: clock.now) > .seconds(options.checkpointSeconds)
      {
        try save(file, statistics, completed: index + 1, to: path)
        saved = clock.now
      }
    }
    guard statistics.samples > 0 else {
      throw DataError(.damaged, "holds no sample that can be read", at: data.path)
    }
    file.statistics = try collected(statistics)
    file.canonicalize()
    file.note.dataPath = data.path
    return Result(file: file, skipped: skipped, resumed: resumed)
  }

  private func load(
    _ index: Int, of data: DataSet, _ file: inout StatisticsFile, _ skipped: inout [DataSet.Skipped]
  ) throws(DataError) -> [String: Tensor]? {
    do {
      return try data.load(index)
    } catch {
      guard options.skipsBad else { throw error }
      file.skipped.append(data.names[index])
      skipped.append(.init(name: data.names[index], reason: error.description))
      return nil
    }
  }

  private func observe(_ sample: [String: Tensor], name: String) throws {
    do {
      let _: [String: Tensor] = try executor.run(sample) { [self] value, result in
        guard case .tensor(let tensor) = result, tensor.elementType.isFloatingPoint else { return }
        observer(of: value)?.observe(tensor, pool: threads.handle)
      }
    } catch let error as ExecutionError {
      throw DataError(.mismatch, "the model fails on it: \(error)", at: name)
    }
  }

  private func observer(of value: Value) -> TensorObserver? {
    let key = ObjectIdentifier(value)
    if let known = observers[key] { return known }
    guard let name = names[key], options.tensors.map({ $0.contains(name) }) ?? true else { return nil }
    let observer = TensorObserver(axes: axes[key] ?? [])
    observers[key] = observer
    return observer
  }

  /// `base` and all that the observers saw.
  private func collected(_ base: ModelStatistics) throws(StatisticsError) -> ModelStatistics {
    var seen = ModelStatistics()
    for (key, observer) in observers { if let name = names[key] { seen.tensors[name] = observer.result() } }
    var result = base
    try result.merge(seen)
    return result
  }

  private func save(_ file: StatisticsFile, _ statistics: ModelStatistics, completed: Int, to path: String) throws {
    var state = file
    state.statistics = try collected(statistics)
    state.skipped.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    state.note.completed = UInt64(completed)
    try state.write(to: path)
  }

  /// Takes up the checkpoint; how many samples are done.
  private func resume(_ file: inout StatisticsFile, _ data: DataSet) -> Int {
    guard options.resumes, let path = options.checkpoint, let state = try? StatisticsFile(path: path),
      state.modelSHA256 == file.modelSHA256, state.preprocessing == file.preprocessing, state.parts == file.parts,
      let completed = state.note.completed, completed <= UInt64(data.count)
    else { return 0 }
    file.statistics = state.statistics
    file.skipped = state.skipped
    return Int(completed)
  }
}

/// The axes whose indices are channels: along them inputs of weighted operators meet the weights, which bias correction
/// needs sums for, and along them tensors differ in range, which the choice of what stays float needs variances for.
enum ChannelAxes {
  /// Operators whose output has the channels of their inputs.
  private static let keeping: Set<String> = [
    "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Selu", "Celu", "Gelu",
    "Mish", "Swish", "Softplus", "Softsign", "Erf", "Add", "Sub", "Mul", "Div", "Sum", "Min", "Max", "Identity",
    "Dropout",
    "BatchNormalization", "InstanceNormalization", "LayerNormalization", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool", "Resize", "Upsample", "Pad", "Concat", "Slice", "Split",
  ]

  static func axes(_ model: Model) -> [ObjectIdentifier: Set<Int>] {
    var result: [ObjectIdentifier: Set<Int>] = [:]
    func want(_ value: Value?, _ axis: Int) {
      if let value { result[ObjectIdentifier(value), default: []].insert(axis) }
    }
    for graph in model.graph.allGraphs + model.functions.flatMap({ $0.body.allGraphs }) {
      for node in graph.nodes where node.canonicalDomain.isEmpty {
        switch node.opType {
        case "Conv", "ConvTranspose":
          want(node.input(0), 1)
          want(node.output(0), 1)
        case "Gemm":
          want(node.input(0), node.int("transA") ?? 0 == 0 ? -1 : 0)
          want(node.output(0), -1)
        case "MatMul":
          want(node.input(0), -1)
          if let left = node.input(0), isConstant(left, graph) {
            want(node.input(1), -2)
          } else {
            want(node.output(0), -1)
          }
        case let type where keeping.contains(type):
          // Nodes are in the order of the data, so the inputs have their axes by now.
          guard let input = node.inputs.compactMap({ $0 }).first(where: { result[ObjectIdentifier($0)] != nil }),
            let axes = result[ObjectIdentifier(input)]
          else { break }
          for output in node.outputs { for axis in axes { want(output, axis) } }
        default: break
        }
      }
    }
    return result
  }

  private static func isConstant(_ value: Value, _ graph: Graph) -> Bool {
    graph.initializer(for: value) != nil || value.producer?.opType == "Constant"
      || value.producer?.opType == "DequantizeLinear"
  }
}
