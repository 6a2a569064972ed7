import IntegerExecution
import ONNXFormat
import ONNXTensor

/// What an engine holds. Encoded, it is the JSON document of `onnxq inspect`.
public struct EngineReport: Encodable {
  /// A part of the file.
  public struct Section: Encodable {
    /// Its name in `docs/engine-format.md`.
    public let name: String
    /// From the beginning of the file.
    public let offset: Int
    /// Length in bytes.
    public let size: Int
    /// Content hash as the file states it.
    public let sha256: String
  }

  /// One step of the plan.
  public struct Step: Encodable {
    /// The kind of step.
    public let kind: String
    /// The node that it came from.
    public let node: String
    /// ONNX's `op_type` of that node.
    public let opType: String
    /// `integer`, `border`, `shape` or `float`.
    public let work: String
    /// Why the step is float.
    public let reason: String?
    /// How the bytes of its result lie.
    public let layout: String
    /// Slots read; null where an input is left out.
    public let inputs: [Int?]
    /// Slots written.
    public let outputs: [Int?]
    /// Bytes of weights, tables and constants.
    public let bytes: Int
    /// Mantissas of the requantization, one for each channel.
    public let multipliers: [Int]?
    /// Shifts of the requantization, one for each channel.
    public let shifts: [Int]?
    /// Everything that the file says of the step.
    public let fields: [String: Field]

    enum CodingKeys: String, CodingKey {
      case kind, node, work, reason, layout, inputs, outputs, bytes, multipliers, shifts, fields
      case opType = "op_type"
    }
  }

  /// A field of a step.
  public enum Field: Encodable {
    /// Integers.
    case ints([Int64])
    /// Floats.
    case floats([Float])
    /// Texts.
    case strings([String])
    /// Element type, shape, and place in the data section.
    case tensor(type: String, shape: [Int], offset: Int, bytes: Int)

    enum CodingKeys: String, CodingKey { case type, shape, offset, bytes }

    /// Encodes the value itself.
    public func encode(to encoder: any Encoder) throws {
      switch self {
      case .ints(let values):
        var container = encoder.singleValueContainer()
        try container.encode(values)
      case .floats(let values):
        var container = encoder.singleValueContainer()
        try container.encode(values)
      case .strings(let values):
        var container = encoder.singleValueContainer()
        try container.encode(values)
      case .tensor(let type, let shape, let offset, let bytes):
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(type, forKey: .type)
        try container.encode(shape, forKey: .shape)
        try container.encode(offset, forKey: .offset)
        try container.encode(bytes, forKey: .bytes)
      }
    }
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.inspect/1"
  /// What the file is.
  public let kind = "engine"
  /// The file as its user typed it.
  public let file: String
  /// Version of the format.
  public let version: Int
  /// Length of the file.
  public let bytes: Int
  /// What the file says of its making.
  public let stamp: [String: String]
  /// The rounding rule.
  public let rounding: String
  /// Inputs in order.
  public let inputs: [ModelSummary.Port]
  /// Outputs in order.
  public let outputs: [ModelSummary.Port]
  /// Number of slots that hold values.
  public let slots: Int
  /// The parts of the file.
  public let sections: [Section]
  /// The steps in the order in which they run.
  public let steps: [Step]
  /// Sections whose bytes are not what was written; nil where that was not checked.
  public let changed: [String]?

  /// Opens an engine.
  ///
  /// - Parameter checksContent: reads the whole file and compares it with its hashes.
  /// - Throws: `QuantizerError` of kind `badInput` when the structure is damaged.
  public init(path: String, checksContent: Bool = false) throws(QuantizerError) {
    let engine = try folding(path) {
      let engine = try EngineFile.open(path: path)
      // A plan that cannot be read is no sound engine.
      _ = try engine.plan()
      return engine
    }
    file = path
    version = EngineFile.version
    bytes = engine.bytes.count
    stamp = Dictionary(engine.stamp, uniquingKeysWith: { first, _ in first })
    rounding = engine.rounding
    func port(_ port: EngineFile.Port) -> ModelSummary.Port {
      ModelSummary.Port(
        name: port.name, type: port.elementType?.name ?? "",
        shape: port.shape?.map { dimension in if case .value(let extent) = dimension.extent { Int(extent) } else { -1 }
        })
    }
    inputs = engine.inputs.map(port)
    outputs = engine.outputs.map(port)
    slots = engine.slotCount
    sections = engine.sections.map { Section(name: $0.name, offset: $0.offset, size: $0.size, sha256: $0.sha256) }
    steps = engine.steps.map { Step($0) }
    changed = checksContent ? engine.changedParts() : nil
  }

  /// Whether a file is an engine.
  public static func isEngine(_ path: String) -> Bool { EngineFile.isEngine(path: path) }

  /// The report as a person reads it.
  public var text: String {
    var lines = ["\(file): engine version \(version), \(bytes) bytes, \(steps.count) steps, rounding \(rounding)"]
    lines += stamp.sorted { $0.key < $1.key }.map { "  \($0.key) \($0.value)" }
    lines += inputs.map { "input  \($0.name) \($0.type)\($0.shape.map { "\($0)" } ?? "")" }
    lines += outputs.map { "output \($0.name) \($0.type)\($0.shape.map { "\($0)" } ?? "")" }
    lines.append("")
    var rows = [["", "step", "node", "weights", "multiplier", "shift", "layout", "bytes", "slots"]]
    for (index, step) in steps.enumerated() {
      func slots(_ list: [Int?]) -> String { list.map { $0.map(String.init) ?? "-" }.joined(separator: " ") }
      var weights = ""
      if case .tensor(let type, let shape, _, _) = step.fields["weights"] {
        weights = type + "[" + shape.map(String.init).joined(separator: "x") + "]"
      }
      rows.append([
        "\(index)", step.kind, step.node, weights, Self.range(step.multipliers), Self.range(step.shifts), step.layout,
        "\(step.bytes)", "\(slots(step.inputs)) > \(slots(step.outputs))",
      ])
    }
    lines += VerificationResult.table(rows)
    for step in steps {
      if let reason = step.reason { lines.append("stays float: \(step.node) \(step.opType), \(reason)") }
    }
    lines.append("")
    lines += VerificationResult.table(
      [["section", "offset", "bytes", "sha256"]]
        + sections.map { [$0.name, "\($0.offset)", "\($0.size)", String($0.sha256.prefix(16))] })
    if let changed {
      lines.append("")
      lines.append(
        changed.isEmpty
          ? "content is as written" : "content has changed since it was written: \(changed.joined(separator: ", "))")
    }
    return lines.joined(separator: "\n")
  }

  private static func range(_ values: [Int]?) -> String {
    guard let values, let low = values.min(), let high = values.max() else { return "" }
    return low == high ? "\(low)" : "\(low)..\(high)"
  }
}

extension EngineReport.Step {
  init(_ step: EngineFile.Step) {
    kind = step.kind
    node = step.node
    opType = step.opType
    work = step.kindOfWork
    reason = step.reason
    layout = step.layout
    inputs = step.inputs
    outputs = step.outputs
    var fields: [String: EngineReport.Field] = [:]
    var bytes = 0
    var multipliers: [Int]?
    var shifts: [Int]?
    for (name, field) in step.fields {
      switch field {
      case .ints(let values):
        fields[name] = .ints(values)
        if name.hasSuffix("_multiplier") { multipliers = (multipliers ?? []) + values.map { Int($0) } }
        if name.hasSuffix("_shift") { shifts = (shifts ?? []) + values.map { Int($0) } }
      case .floats(let values): fields[name] = .floats(values)
      case .strings(let values): fields[name] = .strings(values)
      case .tensors(let tensors):
        guard let tensor = tensors.first else { continue }
        bytes += tensor.byteCount
        fields[name] = .tensor(
          type: tensor.elementType.name, shape: tensor.shape, offset: tensor.offset, bytes: tensor.byteCount)
        if name == "multipliers" { multipliers = tensor.tensor.integers }
        if name == "shifts" { shifts = tensor.tensor.integers }
      }
    }
    self.fields = fields
    self.bytes = bytes
    self.multipliers = multipliers
    self.shifts = shifts
  }
}
