import ONNXGraph

extension Insertion {
  mutating func gatherNodes() {
    let counter = MultiplyAccumulates(view: view, judge: judge)
    for node in view.nodes {
      let outcome = plan.outcomes[node] ?? (false, .noRole, PlacementRule.noRole.sentence)
      report.nodes.append(
        NodeOutcome(
          node: path + node.label, opType: node.opType, isQuantized: outcome.isQuantized, rule: outcome.rule,
          reason: outcome.reason, macs: counter.count(node)))
    }
  }
}
