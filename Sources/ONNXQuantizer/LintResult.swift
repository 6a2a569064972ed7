import ONNXFormat
import ONNXGraph
import QuantPasses

/// What a target will do with a model, and what to change. Encoded, it is the JSON document of `onnxq lint`.
public struct LintResult: Sendable, Encodable {
  /// How bad a finding is.
  public enum Severity: String, Sendable, Encodable, CaseIterable {
    /// The engine refuses the model or computes something else.
    case error
    /// It runs slower or less exactly than it could.
    case warning
    /// Worth knowing.
    case info
  }

  /// A rule broken at one place.
  public struct Finding: Sendable, Encodable {
    /// Id of the rule.
    public var rule: String
    /// How bad it is.
    public var severity: Severity
    /// The node's name, else its operator and first output.
    public var node: String?
    /// The tensor's name.
    public var tensor: String?
    /// What is so, in words.
    public var message: String
    /// What to do.
    public var fix: String
    /// `--fix` does it.
    public var fixable: Bool
  }

  /// Where a node runs.
  public struct Node: Sendable, Encodable {
    /// The node's name, else its operator and first output.
    public var name: String
    /// ONNX's `op_type`.
    public var opType: String
    /// `int8`, `int16`, `int4`, `float8`, `float`, or `none` for a node that the engine takes out.
    public var runsIn: String
    /// Why.
    public var reason: String

    enum CodingKeys: String, CodingKey {
      case name, reason
      case opType = "op_type"
      case runsIn = "runs_in"
    }
  }

  /// A rule of the catalog.
  public struct Rule: Sendable, Encodable {
    /// Such as `ORT003`.
    public var id: String
    /// The severity that it usually has.
    public var severity: Severity
    /// What should be so.
    public var sentence: String
    /// What to do where it is not.
    public var fix: String
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.lint/1"
  /// The target that the model was judged for.
  public let target: String
  /// The file as its user typed it.
  public let model: String
  /// What is wrong, worst first.
  public let findings: [Finding]
  /// Where each node runs, Q and DQ left out.
  public let nodes: [Node]

  enum CodingKeys: String, CodingKey { case schema, target, model, findings, nodes }

  /// How many findings have this severity.
  public func count(_ severity: Severity) -> Int { findings.count { $0.severity == severity } }

  init(_ report: LintReport, model: String) {
    target = report.target
    self.model = model
    findings = report.findings.map {
      Finding(
        rule: $0.rule.id, severity: Severity(rawValue: $0.severity.rawValue) ?? .info, node: $0.node, tensor: $0.tensor,
        message: $0.message, fix: $0.fix, fixable: $0.isFixable)
    }
    nodes = report.nodes.map { Node(name: $0.name, opType: $0.opType, runsIn: $0.runsIn, reason: $0.reason) }
  }

  /// All rules.
  public static var rules: [Rule] {
    LintRule.all.map {
      Rule(id: $0.id, severity: Severity(rawValue: $0.severity.rawValue) ?? .info, sentence: $0.sentence, fix: $0.fix)
    }
  }
}
