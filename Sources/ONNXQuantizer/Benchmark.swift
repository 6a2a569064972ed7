import FloatExecution
import FloatKernels
import Glibc
import IntegerExecution
import ONNXGraph
import ONNXTensor
import QuantVerification

/// Measures how long a model or an engine takes.
public struct Benchmark {
  /// Who runs the model; nil is the integer executor for an engine, else the float one.
  public var executor: Inference.Executor?
  /// Number of threads; nil for all processors.
  public var threads: Int?
  /// Extent of an unknown first axis.
  public var batch = 1
  /// Extents by input, for what the model leaves open.
  public var shapes: [String: [Int]] = [:]
  /// Seed of random inputs.
  public var seed: UInt64 = 0
  /// Data of which the first sample is the input, instead of random numbers.
  public var data: DataOptions?
  /// Seconds of runs that are not counted.
  public var warmup = 0.2
  /// Seconds of runs that are.
  public var seconds = 3.0

  /// Random inputs of one sample on all processors.
  public init() {}

  /// Loads the file and runs it for the time given.
  ///
  /// - Throws: `QuantizerError` of kind `usage` where an extent of an input is not known.
  public func run(_ path: String) throws(QuantizerError) -> BenchmarkResult {
    try folding(path) {
      let pool = threads.map { ThreadPool(threads: $0) } ?? ThreadPool()
      let clock = ContinuousClock()
      let start = clock.now
      let model = try ModelFile(runnable: path)
      let chosen = executor ?? (model.isEngine ? .integer : .float)
      let execute: ([String: RuntimeValue]) throws -> Void
      switch chosen {
      case .float:
        if model.isEngine { throw QuantizerError(.usage, "\(path) is an engine, which the integer executor runs") }
        let executor = try FloatExecutor(model: model.model, threads: pool)
        execute = { let _: [String: RuntimeValue] = try executor.run($0) }
      case .integer:
        let plan = try model.engine?.plan ?? IntegerPlan(model: model.model)
        let executor = IntegerExecutor(plan: plan, threads: pool)
        execute = { let _: [String: RuntimeValue] = try executor.run($0) }
      }
      let load = clock.now - start
      let inputs = try inputs(of: model)
      let first = try clock.measure { try execute(inputs) }
      let warm = clock.now + .seconds(warmup)
      while clock.now < warm { try execute(inputs) }
      var latencies: [Double] = []
      let begin = clock.now
      let end = begin + .seconds(seconds)
      repeat { latencies.append(Self.milliseconds(try clock.measure { try execute(inputs) })) } while clock.now < end
      let total = Self.milliseconds(clock.now - begin)
      let batch = inputs.sorted { $0.key < $1.key }.first?.value.tensor?.shape.first ?? 1
      return BenchmarkResult(
        model: path, executor: chosen.rawValue, threads: threads ?? ThreadPool.processorCount, batch: batch,
        latencies: latencies.sorted(),
        total: total, load: Self.milliseconds(load), first: Self.milliseconds(first))
    }
  }

  private static func milliseconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) * 1e3 + Double(attoseconds) * 1e-15
  }

  private func inputs(of model: ModelFile) throws -> [String: RuntimeValue] {
    if let data {
      guard shapes.isEmpty, batch == 1 else {
        throw QuantizerError(.usage, "with data the input is its first sample: no shapes and no batch")
      }
      let samples = try data.open(for: model.model)
      guard samples.count > 0 else { throw QuantizerError(.badInput, "\(data.path) has no samples") }
      return try samples.load(0).mapValues { .tensor($0) }
    }
    let ports = model.inputs
    for name in shapes.keys.sorted() where !ports.contains(where: { $0.name == name }) {
      throw QuantizerError(.usage, "the model has no input '\(name)'; its inputs are \(ports.map(\.name))")
    }
    var generator = SplitMix(state: seed)
    var inputs: [String: RuntimeValue] = [:]
    for port in ports {
      let shape = try shape(of: port)
      inputs[port.name] = .tensor(try random(port, shape, &generator))
    }
    return inputs
  }

  private func shape(of port: ModelFile.Port) throws -> [Int] {
    func advice(_ problem: String) -> QuantizerError {
      QuantizerError(
        .usage, "input '\(port.name)' \(problem): give --shapes \(port.name)=1x3x224x224 (its own extents)")
    }
    var shape = try shapes[port.name] ?? port.shape ?? { throw advice("has no known rank") }()
    if shapes[port.name] == nil {
      // Exporters write 0 for "unknown".
      if let first = shape.first, first <= 0 { shape[0] = batch }
      if let first = shape.first, batch != 1, first != batch { throw advice("has a batch of \(first), not \(batch)") }
    }
    var count = 1
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard extent > 0, !overflow, product <= 1 << 32 else { throw advice("has shape \(shape)") }
      count = product
    }
    return shape
  }

  /// Numbers of the input's type: reals from −1 to 1, bytes of all values, and zeros and ones where they are indices.
  private func random(_ port: ModelFile.Port, _ shape: [Int], _ generator: inout SplitMix) throws -> Tensor {
    func filled<T: TensorElement>(_: T.Type, as type: ElementType? = nil, _ next: (UInt64) -> T) -> Tensor {
      Tensor(of: T.self, as: type, shape: shape) { for index in $0.indices { $0[index] = next(generator.next()) } }
    }
    switch port.elementType {
    case "float": return filled(Float.self) { Float($0 >> 40) * 0x1p-23 - 1 }
    case "double": return filled(Double.self) { Double($0 >> 11) * 0x1p-52 - 1 }
    case "uint8": return filled(UInt8.self) { UInt8(truncatingIfNeeded: $0 >> 32) }
    case "int8": return filled(Int8.self) { Int8(truncatingIfNeeded: $0 >> 32) }
    case "bool": return filled(UInt8.self, as: .bool) { UInt8($0 >> 63) }
    case "int32": return filled(Int32.self) { Int32($0 >> 63) }
    case "int64": return filled(Int64.self) { Int64($0 >> 63) }
    default:
      throw QuantizerError(
        .usage, "input '\(port.name)' is \(port.elementType), which has no random numbers here: give --data")
    }
  }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// What a benchmark measured. Encoded, it is the JSON document of `onnxq bench`.
public struct BenchmarkResult: Sendable, Encodable {
  /// Milliseconds of one run.
  public struct Latency: Sendable, Encodable {
    /// Half of the runs took less.
    public let median: Double
    /// A tenth of the runs took less.
    public let p10: Double
    /// A tenth of the runs took more.
    public let p90: Double
    /// Number of runs.
    public let runs: Int
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.bench/1"
  /// The file as its user typed it.
  public let model: String
  /// `float` or `integer`.
  public let executor: String
  /// Number of threads.
  public let threads: Int
  /// First extent of the first input.
  public let batch: Int
  /// Milliseconds of one run.
  public let latency: Latency
  /// Samples a second over all runs.
  public let throughput: Double
  /// Milliseconds from the file to an executor.
  public let load: Double
  /// Milliseconds of the first run, in which an engine's weights are packed.
  public let firstRun: Double
  /// The most memory that the process has had.
  public let peakBytes: Int

  enum CodingKeys: String, CodingKey {
    case schema, model, executor, threads, batch
    case latency = "latency_ms"
    case throughput = "throughput_per_s"
    case load = "load_ms"
    case firstRun = "first_run_ms"
    case peakBytes = "peak_bytes"
  }

  init(
    model: String, executor: String, threads: Int, batch: Int, latencies: [Double], total: Double, load: Double,
    first: Double
  ) {
    func quantile(_ share: Double) -> Double { latencies[Int((Double(latencies.count - 1) * share).rounded())] }
    self.model = model
    self.executor = executor
    self.threads = threads
    self.batch = batch
    latency = Latency(median: quantile(0.5), p10: quantile(0.1), p90: quantile(0.9), runs: latencies.count)
    throughput = Double(batch * latencies.count) / total * 1e3
    self.load = load
    firstRun = first
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    peakBytes = Int(usage.ru_maxrss) << 10
  }

  /// The result as a person reads it.
  public var text: String {
    """
    \(model): \(executor), \(threads) threads, batch \(batch)
    latency     median \(fixed(latency.median, 3)) ms, p10 \(fixed(latency.p10, 3)), p90 \(fixed(latency.p90, 3)), \
    \(latency.runs) runs
    throughput  \(fixed(throughput, 1)) samples/s
    load        \(fixed(load, 3)) ms, first run \(fixed(firstRun, 3)) ms
    memory      \(peakBytes >> 20) MiB at most
    """
  }
}
