import ONNXFormat
import ONNXGraph
import QuantCore
import QuantPasses

/// A quantized model and the decisions behind it. Encoded, it is the JSON document of `onnxq insert-qdq`.
public struct InsertionResult: Encodable {
  /// What was decided about one tensor.
  public struct Decision: Sendable, Encodable {
    /// The tensor's name.
    public var tensor: String
    /// Id of the placement rule.
    public var rule: String
    /// Why, in words.
    public var reason: String
    /// One per channel along `axis`, one alone otherwise; nil for a tensor that stays float.
    public var scale: [Float]?
    /// One per scale.
    public var zeroPoint: [Int32]?
    /// ONNX's name of the quantized type, such as `int8`.
    public var elementType: String?
    /// The axis of the channels; nil for one scale.
    public var axis: Int?
    /// Where the range came from.
    public var method: String?
    /// Lowest and highest real that the parameters were made for.
    public var range: [Float]?
    /// Weights along `axis` that share a scale, where weights are stored in blocks; their scales are in the model.
    public var blockSize: Int?
    /// Signal over error of a weight that is stored in integers, in dB.
    public var sqnrDb: Double?

    enum CodingKeys: String, CodingKey {
      case tensor, rule, reason, scale, axis, method, range
      case blockSize = "block_size"
      case sqnrDb = "sqnr_db"
      case zeroPoint = "zero_point"
      case elementType = "element_type"
    }
  }

  /// A node and whether it is quantized.
  public struct Node: Sendable, Encodable {
    /// The node's name, else its operator and first output.
    public var name: String
    /// ONNX's `op_type`.
    public var opType: String
    /// Whether it computes on quantized inputs.
    public var quantized: Bool
    /// Id of the placement rule.
    public var rule: String
    /// Why, in words.
    public var reason: String
    /// Multiply-accumulates of one run; 0 where shapes are unknown or nothing is counted.
    public var macs: Int

    enum CodingKeys: String, CodingKey {
      case name, quantized, rule, reason, macs
      case opType = "op_type"
    }
  }

  /// Numbers of nodes.
  public struct Counts: Sendable, Encodable {
    /// Nodes that are quantized.
    public var quantized: Int
    /// Nodes that stay float.
    public var float: Int
  }

  /// Multiply-accumulates of one run.
  public struct MACs: Sendable, Encodable {
    /// All that were counted.
    public var total: Int
    /// Those of quantized nodes.
    public var quantized: Int
    /// 0 to 1; nil where nothing was counted.
    public var share: Double?
  }

  /// A change of the graph that is no Q/DQ insertion.
  public struct Change: Sendable, Encodable {
    /// Name of the pass or rule.
    public var rule: String
    /// Why, in words.
    public var reason: String
    /// `node NAME`, `tensor NAME` or `model`.
    public var subject: String
    /// What was done, in a few words.
    public var action: String
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.insert-qdq/1"
  /// The target that the model was made for.
  public let target: String
  /// Number of Q/DQ pairs inserted.
  public let pairs: Int
  /// How many nodes are quantized.
  public let nodes: Counts
  /// How many multiply-accumulates are quantized.
  public let macs: MACs
  /// What was decided about each tensor.
  public let decisions: [Decision]
  /// What became of each node.
  public let outcomes: [Node]
  /// Changes of the graph besides the insertion: folded, corrected, raised.
  public let changes: [Change]
  /// True when there was nothing to insert: the written model is the input, byte for byte.
  public let unchanged: Bool
  /// Bytes of the weights that were stored in integers, before and after; nil where weights are not all that changes.
  public let weights: WeightBytes?
  package let model: Model
  let source: String
  /// The data file of new weights, written aside until the model is.
  let data: WeightDataFile?

  enum CodingKeys: String, CodingKey {
    case schema, target, pairs, nodes, macs, decisions, outcomes, changes, unchanged, weights
  }

  init(_ report: InsertionReport, model: Model, source: String) {
    self.model = model
    self.source = source
    data = nil
    weights = nil
    target = report.target
    pairs = report.pairs
    unchanged = report.isUnchanged
    nodes = Counts(
      quantized: report.nodes.count(where: \.isQuantized), float: report.nodes.count { !$0.isQuantized })
    macs = MACs(total: report.totalMacs, quantized: report.quantizedMacs, share: report.macShare)
    decisions = report.decisions.map { decision in
      Decision(
        tensor: decision.tensor, rule: decision.rule.id, reason: decision.reason,
        scale: decision.blockSize == nil ? decision.parameters?.scales : nil,
        zeroPoint: decision.blockSize == nil ? decision.parameters?.zeroPoints : nil,
        elementType: decision.parameters?.elementType.name, axis: decision.parameters?.axis, method: decision.method,
        range: decision.range.map { [$0.lower, $0.upper] }, blockSize: decision.blockSize)
    }
    outcomes = report.nodes.map {
      Node(
        name: $0.node, opType: $0.opType, quantized: $0.isQuantized, rule: $0.rule.id, reason: $0.reason,
        macs: $0.macs)
    }
    let inserted = Set(report.decisions.filter { $0.isQuantized || $0.isExisting }.map(\.tensor))
    changes = report.journal.filter { entry in
      // What a decision says is not said again.
      if case .tensor(let name) = entry.subject, !entry.rule.hasPrefix("F") { return !inserted.contains(name) }
      return true
    }.map {
      Change(rule: $0.rule, reason: $0.reason, subject: Self.text($0.subject), action: $0.action)
    }
  }

  static func text(_ subject: JournalEntry.Subject) -> String {
    switch subject {
    case .node(let name): "node \(name)"
    case .tensor(let name): "tensor \(name)"
    case .model: "model"
    }
  }

  /// Writes the model aside and renames it.
  ///
  /// - Throws: `QuantizerError` when an existing file was not written by onnxq and `replacingForeign` is false, or when
  ///   the disk refuses.
  public func write(to path: String, replacingForeign: Bool = false) throws(QuantizerError) {
    if !replacingForeign { try Overwriting.check(model: path, copyOf: unchanged ? model : nil) }
    try folding(path) {
      let own = try data?.finish(model, for: path)
      _ = try ModelEncoder.save(model, to: path, options: ModelEncoder.Options(ownData: own))
    }
  }

  /// The model in wire form.
  public func encoded() throws(QuantizerError) -> [UInt8] { try folding(source) { try ModelEncoder.bytes(of: model) } }
}
