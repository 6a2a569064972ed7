import FloatKernels
import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses

/// How weights alone are stored in integers.
public struct WeightOnlySettings: Sendable {
  /// The engine that the model is for: one of `Insertion.targets`.
  public var target = "tensorrt"
  /// `int4` and `int8` (symmetric), `uint4` and `uint8` (asymmetric).
  public var elementType = "int4"
  /// Weights along the axis of the sum that share a scale; nil for one scale per output channel.
  public var blockSize: Int?
  /// `mse` (least squared error) or `rtn` (round to nearest).
  public var method = "mse"
  /// Products are computed in integers, activations quantized as the model runs; weights are int8 then.
  public var isDynamic = false
  /// Tables of Gather too.
  public var includesEmbeddings = false
  /// Leaves weights with NaN or infinity in float instead of failing.
  public var toleratesMissingData = false
  /// Weights that nothing touched go to the result's data file too, instead of staying in the source's.
  public var copiesData = false
  /// The opset of the result; nil for the lowest that it needs.
  public var opset: Int?
  /// What is stored in integers, as in `InsertionSettings`.
  public var include: [String] = []
  /// What stays float; wins over `include`.
  public var exclude: [String] = []
  /// Threads; the result does not depend on them.
  public var threads = ThreadPool.processorCount

  /// The defaults: `int4`, least error, `tensorrt`.
  public init() {}
}

/// Stores the constant weights of matrix products in integers behind DequantizeLinear; needs no data.
public struct WeightOnlyQuantization {
  /// Where the result is going.
  public enum Destination: Sendable {
    /// Into memory, for `InsertionResult.encoded`.
    case memory
    /// Nowhere: what would be done is computed, weights are dropped as they are made.
    case nowhere
    /// To this path by `InsertionResult.write`; large weights are written beside it as they are made.
    case file(String)
  }

  /// The types that weights can have.
  public static let elementTypes = ["int4", "uint4", "int8", "uint8"]
  /// How scales are chosen.
  public static var methods: [String] { BlockQuantizer.Method.allCases.map(\.rawValue) }

  /// The settings that were checked when the object was made.
  public let settings: WeightOnlySettings
  private let options: WeightOnlyOptions

  /// - Throws: `QuantizerError` of kind `usage` for values that are not known.
  public init(_ settings: WeightOnlySettings = WeightOnlySettings()) throws(QuantizerError) {
    self.settings = settings
    let type = ElementType.allCases.first { $0.name == settings.elementType }
    guard let type, Self.elementTypes.contains(settings.elementType) else {
      throw QuantizerError(
        .usage, "weights of type '\(settings.elementType)': use one of \(Self.elementTypes.joined(separator: ", "))")
    }
    guard let method = BlockQuantizer.Method(rawValue: settings.method) else {
      throw QuantizerError(
        .usage, "the method '\(settings.method)' is none for weights: use \(Self.methods.joined(separator: " or "))")
    }
    if let block = settings.blockSize, !(1...(1 << 30)).contains(block) {
      throw QuantizerError(.usage, "blocks of \(block) weights: the number is positive, as 32 or 128")
    }
    do {
      var options = WeightOnlyOptions(target: try TargetPreset.named(settings.target))
      options.elementType = type
      options.blockSize = settings.blockSize
      options.method = method
      options.includesEmbeddings = settings.includesEmbeddings
      options.missingData = settings.toleratesMissingData ? .float : .error
      options.opset = settings.opset
      options.include = try settings.include.map { try Selector($0) }
      options.exclude = try settings.exclude.map { try Selector($0) }
      options.threads = max(settings.threads, 1)
      self.options = options
    } catch {
      throw QuantizerError(.usage, "\(error)")
    }
  }

  /// Quantizes a copy of the model; `path` stays as it is.
  ///
  /// - Parameters:
  ///   - path: the model.
  ///   - destination: where the result is going.
  ///   - replacingForeign: whether a file of another tool may be replaced there.
  /// - Throws: `QuantizerError` of kind `badInput` when the model is not fit.
  public func run(
    _ path: String, to destination: Destination, replacingForeign: Bool = false
  ) throws(QuantizerError) -> InsertionResult {
    if case .file(let output) = destination, !replacingForeign { try Overwriting.check(model: output) }
    return try folding(path) {
      let model = try ModelDecoder.load(path: path)
      let data = try WeightDataFile(model, destination, copiesData: settings.copiesData)
      let store: any WeightStore = data ?? MemoryWeightStore()
      let report =
        settings.isDynamic
        ? try DynamicQuantization(options, store: store).run(on: model)
        : try WeightOnly(options, store: store).run(on: model)
      if report.isUnchanged {
        return InsertionResult(report, model: try ModelDecoder.load(path: path), source: path, data: nil, settings)
      }
      ProvenanceStamp(
        version: Quantizer.version, target: settings.target, options: settings.flags,
        modelHash: model.identity?.sha256 ?? "", statisticsHash: nil
      ).apply(to: model)
      return InsertionResult(report, model: model, source: path, data: data, settings)
    }
  }
}

extension WeightOnlySettings {
  /// The settings as flags, those at their defaults left out.
  fileprivate var flags: [String] {
    var result = isDynamic ? ["--dynamic"] : ["--weights=\(elementType)"]
    if let blockSize { result.append("--block=\(blockSize)") }
    if method != WeightOnlySettings().method { result.append("--method=\(method)") }
    if includesEmbeddings { result.append("--embeddings") }
    if let opset { result.append("--opset=\(opset)") }
    if toleratesMissingData { result.append("--missing-data=float") }
    return result + include.map { "--include=\($0)" } + exclude.map { "--exclude=\($0)" }
  }
}

extension InsertionResult {
  /// Bytes of weights.
  public struct WeightBytes: Sendable, Encodable {
    /// As they were.
    public var before: Int
    /// Codes, scales and zero points.
    public var after: Int
  }

  init(
    _ report: WeightOnlyReport, model: Model, source: String, data: WeightDataFile?, _ settings: WeightOnlySettings
  ) {
    self.model = model
    self.source = source
    self.data = data
    target = report.target
    unchanged = report.isUnchanged
    pairs = report.decisions.count { $0.elementType != nil }
    nodes = Counts(
      quantized: report.nodes.count(where: \.isQuantized), float: report.nodes.count { !$0.isQuantized })
    macs = MACs(total: 0, quantized: 0, share: nil)
    weights = WeightBytes(
      before: report.decisions.reduce(0) { $0 + $1.bytesBefore },
      after: report.decisions.reduce(0) { $0 + $1.bytesAfter })
    decisions = report.decisions.map { decision in
      Decision(
        tensor: decision.tensor, rule: decision.rule.id, reason: decision.reason, scale: decision.scales,
        zeroPoint: decision.zeroPoints, elementType: decision.elementType?.name, axis: decision.axis,
        method: decision.elementType == nil ? nil : settings.method, range: nil, blockSize: decision.blockSize,
        sqnrDb: decision.sqnr)
    }
    outcomes = report.nodes.map {
      Node(name: $0.node, opType: $0.opType, quantized: $0.isQuantized, rule: $0.rule.id, reason: $0.reason, macs: 0)
    }
    changes = report.journal.map {
      Change(rule: $0.rule, reason: $0.reason, subject: Self.text($0.subject), action: $0.action)
    }
  }
}
