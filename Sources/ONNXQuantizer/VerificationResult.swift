import QuantVerification

/// What a verification found. Encoded, it is the JSON document of `onnxq verify`.
public struct VerificationResult: Sendable, Encodable {
  /// How far one tensor is from its reference over all samples.
  public struct Comparison: Sendable, Encodable {
    public var name: String
    /// `float/fake-quant`, `float/integer`, `fake-quant/integer` or `reference/float`.
    public var pair: String
    /// Signal-to-noise ratio in decibels: 10 log10(Σ x² / Σ (x − y)²).
    public var sqnrDB: Double
    public var cosine: Double
    public var maxAbsolute: Double

    enum CodingKeys: String, CodingKey {
      case name, pair, cosine
      case sqnrDB = "sqnr_db"
      case maxAbsolute = "max_abs"
    }
  }

  /// Percent.
  public struct Rates: Sendable, Encodable {
    public var float: Double?
    public var fakeQuant: Double?
    public var integer: Double?
    /// Samples that carried a label; absent for agreement.
    public var labels: Int?

    enum CodingKeys: String, CodingKey {
      case float, integer, labels
      case fakeQuant = "fake_quant"
    }
  }

  public struct MACs: Sendable, Encodable {
    public var total: Int
    public var integer: Int
    public var share: Double
  }

  public struct FloatIsland: Sendable, Encodable {
    public var node: String
    public var opType: String
    public var macs: Int
    public var reason: String

    enum CodingKeys: String, CodingKey {
      case node, macs, reason
      case opType = "op_type"
    }
  }

  public let schema = "onnxq.verify/1"
  public var verdict: String
  public var failures: [String]
  public var model: String
  public var quantized: String?
  public var target: String?
  public var data: String
  public var samples: Int
  public var outputs: [Comparison]
  public var tensors: [Comparison]
  public var topOne: Rates?
  public var agreement: Rates?
  public var macs: MACs?
  public var ties: Int?
  public var floatIslands: [FloatIsland]

  public var passed: Bool { verdict == "pass" }

  enum CodingKeys: String, CodingKey {
    case schema, verdict, failures, model, quantized, target, data, samples, outputs, tensors, agreement, macs, ties
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
    lines.append("model     \(model)" + (quantized.map { "\nquantized \($0)" + (target.map { "  (target \($0))" } ?? "") } ?? ""))
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
