import ONNXGraph

/// One thing that a model can have wrong for a target. `docs/lint.md` lists all of them.
package struct LintRule: Sendable, Hashable {
  package enum Severity: String, Sendable, CaseIterable, Comparable {
    /// The engine refuses the model, or computes something else than the model says.
    case error
    /// The model is right and runs slower or less exactly than it could.
    case warning
    case info

    private var rank: Int { self == .error ? 2 : self == .warning ? 1 : 0 }
    package static func < (left: Severity, right: Severity) -> Bool { left.rank < right.rank }
  }

  package let id: String
  package let severity: Severity
  package let sentence: String
  package let fix: String

  init(_ id: String, _ severity: Severity, _ sentence: String, fix: String) {
    self.id = id
    self.severity = severity
    self.sentence = sentence
    self.fix = fix
  }

  package static let all: [LintRule] = hygiene + onnxRuntime + tensorRT + otherTargets
}

/// A rule broken at one place.
package struct LintFinding: Sendable {
  package var rule: LintRule
  package var severity: LintRule.Severity
  /// The label of the node; nil where a tensor or the model is meant.
  package var node: String?
  package var tensor: String?
  package var message: String
  package var fix: String
  /// `--fix` mends it without changing what the model computes.
  package var isFixable = false
}

/// Where the engine runs one node, and why.
package struct NodePrediction: Sendable {
  package var name: String
  package var opType: String
  /// `int8`, `int16`, `int4`, `float8`, `float`, or `none` for a node that the engine takes out.
  package var runsIn: String
  package var reason: String
}

package struct LintReport: Sendable {
  package var target: String
  package var findings: [LintFinding] = []
  package var nodes: [NodePrediction] = []

  package func count(_ severity: LintRule.Severity) -> Int { findings.count { $0.severity == severity } }
}

extension LintReport {
  /// What the integer executor does, by the nodes that it leaves float and its reasons.
  package mutating func addIntegerPlan(_ islands: [String: String], of model: Model) {
    for node in model.graph.nodes where !LintContext.isQuantizer(node) {
      let (runsIn, reason): (String, String) =
        if node.isStandard("Constant") {
          ("none", "a constant")
        } else if let reason = islands[node.label] {
          ("float", reason)
        } else {
          ("int8", "part of an integer region")
        }
      nodes.append(NodePrediction(name: node.label, opType: node.opType, runsIn: runsIn, reason: reason))
      if runsIn == "float" {
        findings.append(
          .integer(severity: .warning, node: node.label, message: "\(node.label) runs in float: \(reason)"))
      }
    }
  }
}

extension LintFinding {
  /// A finding about the integer executor.
  package static func integer(severity: LintRule.Severity, node: String?, message: String) -> LintFinding {
    LintFinding(
      rule: .integerFloat, severity: severity, node: node, tensor: nil, message: message, fix: LintRule.integerFloat.fix
    )
  }
}
