import FloatExecution
import FoundationEssentials
import IntegerExecution
import ONNXFormat
import ONNXTensor
import QuantPasses

/// How a Q/DQ model becomes an engine.
public struct BuildSettings: Sendable {
  /// Which rule accumulators are rounded by.
  public enum Rounding: String, Sendable, CaseIterable {
    /// One rounding, half to even, of the exact product with a fixed-point multiplier.
    case fixed
    /// As onnxruntime computes.
    case float32
  }

  /// The rule that holds in the engine.
  public var rounding = Rounding.fixed
  /// Refuses a model of which a node stays float.
  public var integerOnly = false

  /// The exact rule, float islands allowed.
  public init() {}
}

/// Lowers a Q/DQ model to integer steps and stores them.
public struct Build {
  /// The settings of this build.
  public let settings: BuildSettings

  /// A build with these settings.
  public init(_ settings: BuildSettings = BuildSettings()) { self.settings = settings }

  /// Lowers the model.
  ///
  /// - Throws: `QuantizerError` of kind `badInput` when the model is not quantized, when a node stays float under
  ///   `integerOnly`, or when a step cannot be stored.
  public func run(_ model: ModelFile) throws(QuantizerError) -> BuildResult {
    try folding(model.path) {
      guard model.isQuantized else {
        throw QuantizerError(
          .badInput, "\(model.path) has no QuantizeLinear or DequantizeLinear: run 'onnxq insert-qdq' first")
      }
      let plan = try IntegerPlan(
        model: model.model,
        options: IntegerOptions(
          rounding: settings.rounding == .fixed ? .fixed : .binary32, integerOnly: settings.integerOnly, isStored: true)
      )
      let source = ProvenanceStamp(model.model)
      var stamp = [
        (key: ProvenanceStamp.versionKey, value: Quantizer.version),
        (key: ProvenanceStamp.modelKey, value: model.identity),
      ]
      if let source { stamp.append((key: ProvenanceStamp.targetKey, value: source.target)) }
      var options: [String] = []
      if settings.integerOnly { options.append("--integer-only") }
      if settings.rounding != .fixed { options.append("--rounding=\(settings.rounding.rawValue)") }
      if !options.isEmpty { stamp.append((key: ProvenanceStamp.optionsKey, value: options.joined(separator: " "))) }
      let bytes = try EngineWriter(plan, stamp: stamp).pieces()
      return BuildResult(plan, pieces: bytes, source: model.path, target: source?.target)
    }
  }
}

/// An engine that was built, not written yet. Encoded, it is the JSON document of `onnxq build`.
public struct BuildResult: Encodable {
  /// Name and version of the JSON document.
  public let schema = "onnxq.build/1"
  /// The Q/DQ model's file.
  public let model: String
  /// The target that the Q/DQ model was made for.
  public let target: String?
  /// Length of the file.
  public let bytes: Int
  /// Number of steps by the work they do: `integer`, `border`, `shape` and `float`.
  public let steps: [String: Int]
  /// Nodes that stay float, with the reason.
  public let floatIslands: [VerificationResult.FloatIsland]
  private let pieces: [ByteView]

  enum CodingKeys: String, CodingKey {
    case schema, model, target, bytes, steps
    case floatIslands = "float_islands"
  }

  init(_ plan: IntegerPlan, pieces: [ByteView], source: String, target: String?) {
    model = source
    self.target = target
    self.pieces = pieces
    bytes = pieces.reduce(0) { $0 + $1.count }
    steps = plan.stepCounts
    floatIslands = plan.islands.map {
      VerificationResult.FloatIsland(node: $0.node, opType: $0.opType, macs: $0.macs, reason: $0.reason)
    }
  }

  /// Writes the engine aside and renames it.
  ///
  /// - Throws: `QuantizerError` when an existing file was not written by onnxq and `replacingForeign` is false, or when
  ///   the disk refuses.
  public func write(to path: String, replacingForeign: Bool = false) throws(QuantizerError) {
    if !replacingForeign { try Overwriting.check(engine: path) }
    try folding(path) {
      let file = try AtomicFile(replacing: path)
      for piece in pieces { try file.write(piece.bytes) }
      try file.commit()
    }
  }

  /// The engine's bytes.
  public var encoded: [UInt8] { pieces.flatMap { Array($0.bytes) } }

  /// The result as a person reads it.
  public var text: String {
    var lines: [String] = []
    if let target { lines.append("target \(target)") }
    let counts = ["integer", "border", "shape", "float"].compactMap { kind in
      steps[kind].map { "\($0) \(kind)" }
    }
    lines.append("\(steps.values.reduce(0, +)) steps: \(counts.joined(separator: ", "))")
    for island in floatIslands.prefix(8) {
      lines.append("stays float: \(island.node) \(island.opType), \(island.reason)")
    }
    if floatIslands.count > 8 { lines.append("and \(floatIslands.count - 8) more (--format json lists all)") }
    lines.append("\(bytes) bytes")
    return lines.joined(separator: "\n")
  }
}
