import ONNXGraph

extension Insertion {
  mutating func gatherNodes() {
    let counter = MultiplyAccumulates(view: view, judge: judge)
    for node in view.nodes {
      let outcome = plan.outcomes[node] ?? (false, .noRole, PlacementRule.noRole.sentence)
      report.nodes.append(
        NodeOutcome(
          node: node.label, opType: node.opType, isQuantized: outcome.isQuantized, rule: outcome.rule,
          reason: outcome.reason, macs: counter.count(node)))
      for nested in node.subgraphs.flatMap(\.allGraphs) {
        for inner in nested.nodes where inner.isStandard && target.weighted.contains(inner.opType) {
          report.nodes.append(
            NodeOutcome(
              node: "\(node.label)/\(inner.label)", opType: inner.opType, isQuantized: false, rule: .nested,
              reason: PlacementRule.nested.sentence, macs: 0))
        }
      }
    }
  }
}
