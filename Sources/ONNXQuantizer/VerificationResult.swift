import QuantVerification

/// What a verification found. Encoded, it is the JSON document of `onnxq verify`.
public struct VerificationResult: Sendable, Encodable {
  /// How far one tensor is from its reference over all samples.
  public struct Comparison: Sendable, Encodable {
    /// The name of the output or tensor.
    public var name: String
    /// `float/fake-quant`, `float/integer`, `fake-quant/integer` or `reference/float`.
    public var pair: String
    /// Signal-to-noise ratio in decibels: 10 log10(Σ x² / Σ (x − y)²).
    public var sqnrDB: Double
    /// Cosine of the angle between the two, 1 at best.
    public var cosine: Double
    /// Largest absolute difference.
    public var maxAbsolute: Double

    enum CodingKeys: String, CodingKey {
      case name, pair, cosine
      case sqnrDB = "sqnr_db"
      case maxAbsolute = "max_abs"
    }
  }

  /// Percent.
  public struct Rates: Sendable, Encodable {
    /// The float model's rate.
    public var float: Double?
    /// The rate of the Q/DQ model run in float.
    public var fakeQuant: Double?
    /// The rate of the integer executor.
    public var integer: Double?
    /// Samples that carried a label; absent for agreement.
    public var labels: Int?

    enum CodingKeys: String, CodingKey {
      case float, integer, labels
      case fakeQuant = "fake_quant"
    }
  }

  /// Multiply-accumulates over all samples.
  public struct MACs: Sendable, Encodable {
    /// All that were counted.
    public var total: Int
    /// Those that ran in integers.
    public var integer: Int
    /// `integer` in `total`, 0 to 1.
    public var share: Double
  }

  /// A node that the integer executor runs in float.
  public struct FloatIsland: Sendable, Encodable {
    /// The node's name, else its operator and first output.
    public var node: String
    /// ONNX's `op_type`.
    public var opType: String
    /// Multiply-accumulates of one run.
    public var macs: Int
    /// Why it has no integer form.
    public var reason: String

    enum CodingKeys: String, CodingKey {
      case node, macs, reason
      case opType = "op_type"
    }
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.verify/1"
  /// `pass` or `fail`.
  public var verdict: String
  /// One line per demand that is not met.
  public var failures: [String]
  /// The float model's file.
  public var model: String
  /// The Q/DQ model's file.
  public var quantized: String?
  /// The target that the Q/DQ model was made for.
  public var target: String?
  /// How the engine compares with the Q/DQ model lowered anew.
  public struct Engine: Sendable, Encodable {
    /// The engine's file.
    public var file: String
    /// The rounding rule of the engine.
    public var rounding: String
    /// Samples of which an output is not equal byte for byte.
    public var differing: Int
  }

  /// The engine, where one was given.
  public var engine: Engine?
  /// The data as its user typed it.
  public var data: String
  /// Number of samples that were compared.
  public var samples: Int
  /// The graph outputs, pair by pair.
  public var outputs: [Comparison]
  /// Quantized tensors against their float twins, worst first.
  public var tensors: [Comparison]
  /// Top-1 accuracy, where there are labels.
  public var topOne: Rates?
  /// Share of samples with the float model's class, where the output scores classes.
  public var agreement: Rates?
  /// What ran in integers; nil without a Q/DQ model.
  public var macs: MACs?
  /// Accumulators that ONNX Runtime's float32 multiplier would round differently.
  public var ties: Int?
  /// Nodes that ran in float inside the integer executor.
  public var floatIslands: [FloatIsland]

  /// Whether every demand was met.
  public var passed: Bool { verdict == "pass" }

  enum CodingKeys: String, CodingKey {
    case schema, verdict, failures, model, quantized, engine, target, data, samples, outputs, tensors, agreement, macs,
      ties
    case topOne = "top1"
    case floatIslands = "float_islands"
  }

  init(_ report: VerificationReport, model: String, quantized: String?, target: String?, data: String) {
    self.model = model
    self.quantized = quantized
    self.target = target
    self.data = data
    verdict = report.passed ? "pass" : "fail"
    failures = report.failures
    samples = report.samples
    func comparison(_ entry: VerificationReport.Entry) -> Comparison {
      Comparison(
        name: entry.name, pair: entry.pair.rawValue, sqnrDB: entry.metrics.sqnr, cosine: entry.metrics.cosine,
        maxAbsolute: entry.metrics.maxAbsolute)
    }
    outputs = report.outputs.map(comparison)
    tensors = report.tensors.map(comparison)
    topOne = report.topOne.map {
      Rates(float: $0.float, fakeQuant: $0.fakeQuant, integer: $0.integer, labels: report.labelled)
    }
    agreement = report.agreement.map { Rates(float: nil, fakeQuant: $0.fakeQuant, integer: $0.integer, labels: nil) }
    macs = report.macs.map { MACs(total: $0.total, integer: $0.integer, share: $0.share) }
    ties = report.ties
    floatIslands = report.floatIslands.map {
      FloatIsland(node: $0.node, opType: $0.opType, macs: $0.macs, reason: $0.reason)
    }
  }
}

extension VerificationResult {
  /// The result as a person reads it.
  ///
  /// - Parameter worst: how many of the worst tensors are listed.
  public func text(worst: Int = 5) -> String {
    var lines: [String] = []
    lines.append(
      "model     \(model)" + (quantized.map { "\nquantized \($0)" + (target.map { "  (target \($0))" } ?? "") } ?? ""))
    lines.append("data      \(data), \(samples) samples")
    lines.append("")
    var rows = [["output", "pair", "SQNR", "cosine", "max error"]]
    for entry in outputs {
      rows.append([
        entry.name, entry.pair, decibels(entry.sqnrDB), fixed(entry.cosine, 5), "\(Float(entry.maxAbsolute))",
      ])
    }
    lines += Self.table(rows)
    if !tensors.isEmpty {
      lines.append("")
      var rows = [["worst tensors", "", "SQNR", "cosine", "max error"]]
      for entry in tensors.prefix(worst) {
        rows.append([entry.name, "", decibels(entry.sqnrDB), fixed(entry.cosine, 5), "\(Float(entry.maxAbsolute))"])
      }
      lines += Self.table(rows)
    }
    lines.append("")
    lines += Self.table(summary)
    if !floatIslands.isEmpty {
      lines.append("")
      lines.append("stays float")
      let shown = floatIslands.sorted { ($1.macs, $0.node) < ($0.macs, $1.node) }
      lines += Self.table(shown.prefix(8).map { ["  \($0.node)", $0.opType, "\($0.macs) MACs", $0.reason] })
      if shown.count > 8 { lines.append("  and \(shown.count - 8) more (--format json lists all)") }
    }
    lines.append("")
    for failure in failures { lines.append("fails: \(failure)") }
    lines.append("verdict: \(verdict)")
    return lines.joined(separator: "\n")
  }

  private var summary: [[String]] {
    var rows: [[String]] = []
    func percent(_ value: Double?) -> String { value.map { fixed($0, 2) + " %" } ?? "-" }
    if let topOne {
      rows.append(["float accuracy", percent(topOne.float)])
      if topOne.fakeQuant != nil { rows.append(["fake-quant accuracy", percent(topOne.fakeQuant)]) }
      if topOne.integer != nil { rows.append(["int8 accuracy", percent(topOne.integer)]) }
    }
    if let agreement {
      if agreement.fakeQuant != nil { rows.append(["agreement, fake-quant", percent(agreement.fakeQuant)]) }
      if agreement.integer != nil { rows.append(["agreement, integer", percent(agreement.integer)]) }
    }
    if let worst = tensors.first { rows.append(["worst tensor", "\(worst.name), \(decibels(worst.sqnrDB))"]) }
    if let macs {
      rows.append([
        "MACs run in integers", "\(fixed(100 * macs.share, 2)) %  (\(macs.integer) of \(macs.total))",
      ])
    }
    if let engine {
      rows.append([
        "engine", engine.differing == 0 ? "equal byte for byte" : "differs on \(engine.differing) samples",
      ])
    }
    if let ties { rows.append(["rounding ties", "\(ties)"]) }
    return rows
  }

  /// Columns padded to their widest cell.
  static func table(_ rows: [[String]]) -> [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      let cells = row.enumerated().map { index, cell in
        cell + String(repeating: " ", count: widths[index] - cell.count)
      }
      var line = cells.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
