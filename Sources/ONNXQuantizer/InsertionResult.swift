import ONNXFormat
import ONNXGraph
import QuantCore
import QuantPasses

/// A quantized model and the decisions behind it. Encoded, it is the JSON document of `onnxq insert-qdq`.
public struct InsertionResult: Encodable {
  /// What was decided about one tensor.
  public struct Decision: Sendable, Encodable {
    public var tensor: String
    /// Id of the placement rule.
    public var rule: String
    public var reason: String
    /// One per channel along `axis`, one alone otherwise; nil for a tensor that stays float.
    public var scale: [Float]?
    public var zeroPoint: [Int32]?
    public var elementType: String?
    public var axis: Int?
    /// Where the range came from.
    public var method: String?
    /// Lowest and highest real that the parameters were made for.
    public var range: [Float]?

    enum CodingKeys: String, CodingKey {
      case tensor, rule, reason, scale, axis, method, range
      case zeroPoint = "zero_point"
      case elementType = "element_type"
    }
  }

  /// A node and whether it is quantized.
  public struct Node: Sendable, Encodable {
    public var name: String
    public var opType: String
    public var quantized: Bool
    public var rule: String
    public var reason: String
    public var macs: Int

    enum CodingKeys: String, CodingKey {
      case name, quantized, rule, reason, macs
      case opType = "op_type"
    }
  }

  public struct Counts: Sendable, Encodable {
    public var quantized: Int
    public var float: Int
  }

  public struct MACs: Sendable, Encodable {
    public var total: Int
    public var quantized: Int
    /// 0 to 1; nil where nothing was counted.
    public var share: Double?
  }

  /// A change of the graph that is no Q/DQ insertion.
  public struct Change: Sendable, Encodable {
    public var rule: String
    public var reason: String
    public var subject: String
  }

  public let schema = "onnxq.insert-qdq/1"
  public let target: String
  public let pairs: Int
  public let nodes: Counts
  public let macs: MACs
  public let decisions: [Decision]
  public let outcomes: [Node]
  public let changes: [Change]
  /// True when there was nothing to insert: the written model is the input, byte for byte.
  public let unchanged: Bool
  package let model: Model
  private let source: String

  enum CodingKeys: String, CodingKey {
    case schema, target, pairs, nodes, macs, decisions, outcomes, changes, unchanged
  }

  init(_ report: InsertionReport, model: Model, source: String) {
    self.model = model
    self.source = source
    target = report.target
    pairs = report.pairs
    unchanged = report.isUnchanged
    nodes = Counts(
      quantized: report.nodes.count(where: \.isQuantized), float: report.nodes.count { !$0.isQuantized })
    macs = MACs(total: report.totalMacs, quantized: report.quantizedMacs, share: report.macShare)
    decisions = report.decisions.map { decision in
      Decision(
        tensor: decision.tensor, rule: decision.rule.rawValue, reason: decision.reason,
        scale: decision.parameters?.scales, zeroPoint: decision.parameters?.zeroPoints,
        elementType: decision.parameters?.elementType.name, axis: decision.parameters?.axis, method: decision.method,
        range: decision.range.map { [$0.lowest, $0.highest] })
    }
    outcomes = report.nodes.map {
      Node(
        name: $0.node, opType: $0.opType, quantized: $0.isQuantized, rule: $0.rule.rawValue, reason: $0.reason,
        macs: $0.macs)
    }
    changes = report.journal.map { Change(rule: $0.rule, reason: $0.reason, subject: $0.subject) }
  }

  /// Writes the model aside and renames it.
  ///
  /// - Throws: `QuantizerError` when an existing file was not written by onnxq and `replacingForeign` is false, or when
  ///   the disk refuses.
  public func write(to path: String, replacingForeign: Bool = false) throws(QuantizerError) {
    if !replacingForeign { try Overwriting.check(model: path) }
    try folding(path) { _ = try ModelEncoder.save(model, to: path) }
  }

  /// The model in wire form.
  public func encoded() throws(QuantizerError) -> [UInt8] { try folding(source) { try ModelEncoder.bytes(of: model) } }
}
