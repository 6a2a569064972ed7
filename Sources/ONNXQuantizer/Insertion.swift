import FloatKernels
import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantCalibration
import QuantCore
import QuantPasses

/// How Q/DQ nodes are inserted.
public struct InsertionSettings: Sendable {
  /// The engine that the model is for: one of `Insertion.targets`.
  public var target = "tensorrt"
  /// A target of one's own, as its file says it; takes the place of `target`.
  public var targetFile: SettingsTree?
  /// The grid of activations, other than the target's: `uint16`, `int8,asymmetric`, `float8e4m3fn`,
  /// `int8,power-of-two`, …
  public var activations: String?
  /// The grid of weights, other than the target's: `int4,block=32`, `int8,per-tensor`, `int8,reduce-range`, …
  public var weights: String?
  /// What single tensors, operators or names have otherwise.
  public var overrides: SettingsTree?
  /// `minmax`, `percentile[:P]`, `entropy`, `mse` or `auto`; nil for min-max, or what does best on samples.
  public var method: String?
  /// Takes the mean error of rounded weights out of the bias, from the recorded channel means.
  public var correctsBias = true
  /// Folds normalizations into weights, takes identities out and makes computed weights constants first.
  public var folds = true
  /// The share of the multiply-accumulates, 0 to 1, that may run in float so that tensors whose range drowns their
  /// signal stay float; nil quantizes those as well.
  public var rescueBudget: Double? = 0.05
  /// Leaves tensors without usable statistics in float instead of failing.
  public var toleratesMissingData = false
  /// `float16` or `bfloat16`: what stays float is computed in that type; nil leaves it as it is.
  public var highPrecision: String?
  /// Operators on integers (QLinearConv, QLinearMatMul, …) instead of operators between Q/DQ; for onnxruntime's targets.
  public var usesIntegerOperators = false
  /// The opset of the result; nil for the lowest that it needs.
  public var opset: Int?
  /// Regular expressions on node names, operators (`op:Conv`) or tensors (`tensor:…`); an expression without a match is
  /// an error.
  public var include: [String] = []
  /// What stays float, as expressions of the same form; wins over `include`.
  public var exclude: [String] = []

  /// The defaults: `tensorrt`, min-max, bias correction.
  public init() {}
}

/// Rewrites a model with explicit QuantizeLinear and DequantizeLinear nodes.
public struct Insertion {
  /// Real data to measure the errors of single tensors on.
  public struct Samples {
    /// The data and how it becomes the model's input.
    public var data: DataOptions
    /// Number of threads; nil for all processors. The result does not depend on it.
    public var threads: Int?
    /// Called with how many tensors are measured, of how many.
    public var progress: (_ done: Int, _ total: Int) -> Void

    /// All of `data`, of which a few samples are taken.
    public init(
      _ data: DataOptions, threads: Int? = nil, progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) {
      self.data = data
      self.threads = threads
      self.progress = progress
    }

    func sensitivity(of model: Model) throws -> Sensitivity {
      let samples = try data.open(for: model)
      return Sensitivity(
        count: samples.count, threads: threads.map { ThreadPool(threads: $0) } ?? ThreadPool(),
        load: { try samples.load($0).mapValues { .tensor($0) } }, progress: progress)
    }
  }

  /// Names of the targets.
  public static var targets: [String] { TargetPreset.all.map(\.name) }

  /// The settings that were checked when the object was made.
  public let settings: InsertionSettings

  /// - Throws: `QuantizerError` of kind `usage` for an unknown target, method or malformed expression.
  public init(_ settings: InsertionSettings = InsertionSettings()) throws(QuantizerError) {
    self.settings = settings
    do {
      _ = try Self.options(settings)
    } catch let error as QuantizerError {
      throw error
    } catch {
      throw QuantizerError(.usage, "\(error)")
    }
  }

  private static func options(_ settings: InsertionSettings) throws -> InsertionOptions {
    var options = InsertionOptions(
      target: try settings.targetFile.map { try TargetFile.preset($0) } ?? TargetPreset.named(settings.target),
      method: try settings.method.map { try RangeMethod(parsing: $0) } ?? .minMax)
    options.measuresMethod = settings.method == nil
    try GridText.apply(activations: settings.activations, weights: settings.weights, to: &options.target)
    if let tree = settings.overrides {
      options.overrides = try OverridesFile.overrides(tree)
      for entry in options.overrides {
        for scheme in [
          entry.activations?.applied(to: options.target.activations),
          entry.weights?.applied(to: options.target.weights),
        ].compactMap({ $0 }) {
          options.target.lowestOpset = max(options.target.lowestOpset, TargetFile.opset(scheme))
        }
        if entry.blockSize != nil { options.target.lowestOpset = max(options.target.lowestOpset, 21) }
      }
    }
    options.correctsBias = settings.correctsBias
    options.rescueBudget = settings.rescueBudget
    options.missingData = settings.toleratesMissingData ? .float : .error
    options.folding = settings.folds ? .all : .none
    options.opset = settings.opset
    options.usesIntegerOperators = settings.usesIntegerOperators
    if let name = settings.highPrecision {
      guard let type = [ElementType.float16, .bfloat16].first(where: { $0.name == name }) else {
        throw QuantizerError(.usage, "'\(name)' is no type for what stays float: use float16 or bfloat16")
      }
      options.highPrecision = type
    }
    options.include = try settings.include.map { try Selector($0) }
    options.exclude = try settings.exclude.map { try Selector($0) }
    return options
  }

  /// Inserts into a copy of the model in memory; `model` itself stays as it is on disk.
  ///
  /// - Parameter dump: called with a running number, the name of the pass and the graph as text after each pass that
  ///   changed something, first with the graph as read.
  /// - Parameter samples: what rescue measures errors on; nil ranks tensors by their statistics.
  /// - Throws: `QuantizerError` of kind `badInput` when the statistics are of another model or lack a tensor.
  public func run(
    _ path: String, statistics: CalibrationStatistics, samples: Samples? = nil,
    dump: ((Int, String, String) throws -> Void)? = nil
  ) throws(QuantizerError) -> InsertionResult {
    try folding(path) {
      // Passes edit in place, so the model is read anew.
      let model = try ModelDecoder.load(path: path)
      let hash = model.identity?.sha256 ?? ""
      let stamp = ProvenanceStamp(model)
      let file = statistics.file
      guard file.modelSHA256 == hash || file.modelSHA256 == stamp?.modelHash else {
        throw QuantizerError(
          .badInput,
          "\(statistics.path ?? "the statistics") are of another model (\(file.modelSHA256.prefix(12)), \(path) is "
            + "\(hash.prefix(12))): run onnxq calibrate \(path) --data DIR again")
      }
      var number = 0
      if let dump {
        try dump(0, "input", TextPrinter.text(model))
        number = 1
      }
      let pipeline = QuantizationPipeline(
        try Self.options(settings), statistics: file.statistics, sensitivity: try samples?.sensitivity(of: model)
      ) { pass, model in
        guard let dump else { return }
        try dump(number, pass, TextPrinter.text(model))
        number += 1
      }
      let report = try pipeline.run(on: model)
      if report.isUnchanged {
        return InsertionResult(report, model: try ModelDecoder.load(path: path), source: path)
      }
      ProvenanceStamp(
        version: Quantizer.version, target: report.target,
        options: settings.differences + (samples == nil ? [] : ["--data"]), modelHash: hash,
        statisticsHash: file.statisticsSHA256
      ).apply(to: model)
      return InsertionResult(report, model: model, source: path)
    }
  }
}

extension InsertionSettings {
  /// The settings that differ from the defaults, as flags.
  var differences: [String] {
    let standard = InsertionSettings()
    var result: [String] = []
    if let method { result.append("--method=\(method)") }
    if let activations { result.append("--activations=\(activations)") }
    if let weights { result.append("--weights=\(weights)") }
    if !correctsBias { result.append("--bias-correction=none") }
    if !folds { result.append("--fold=none") }
    if rescueBudget != standard.rescueBudget {
      result.append("--rescue=\(rescueBudget.map { "\($0 * 100)%" } ?? "none")")
    }
    if toleratesMissingData { result.append("--missing-data=float") }
    if let highPrecision { result.append("--high-precision=\(highPrecision)") }
    if usesIntegerOperators { result.append("--quant-format=qoperator") }
    if let opset { result.append("--opset=\(opset)") }
    if let targetFile { result.append("--target=\(targetFile.file)") }
    if let overrides { result.append("--overrides=\(overrides.file)") }
    result += include.map { "--include=\($0)" } + exclude.map { "--exclude=\($0)" }
    return result
  }
}
