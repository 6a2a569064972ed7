import ONNXGraph

extension Insertion {
  mutating func gatherNodes() {
    for node in view.nodes {
      let outcome = plan.outcomes[node] ?? (false, .noRole, PlacementRule.noRole.sentence)
      report.nodes.append(
        NodeOutcome(
          node: node.label, opType: node.opType, isQuantized: outcome.isQuantized, rule: outcome.rule,
          reason: outcome.reason, macs: macs(node)))
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

  func macs(_ node: Node) -> Int {
    guard node.isStandard, let output = node.output(0), let shape = judge.shape(output) else { return 0 }
    func product(_ values: some Sequence<Int>) -> Int {
      values.reduce(1) {
        let (p, o) = $0.multipliedReportingOverflow(by: $1); return o ? 0 : p
      }
    }
    let elements = product(shape)
    switch node.opType {
    case "Conv", "ConvTranspose":
      guard let weight = weightShape(node), weight.count >= 3 else { return 0 }
      if node.opType == "Conv" { return product([elements] + weight.dropFirst()) }
      guard let input = node.input(0).flatMap({ judge.shape(view.tensor($0)) }) else { return 0 }
      return product([product(input)] + weight.dropFirst())
    case "Gemm", "MatMul":
      if let weight = weightShape(node), weight.count >= 2 {
        let isTransposed = node.opType == "Gemm" && node.int("transB") ?? 0 != 0
        return product([elements, weight[weight.count - (isTransposed ? 1 : 2)]])
      }
      guard let input = node.input(0).flatMap({ judge.shape(view.tensor($0)) }), let depth = input.last else {
        return 0
      }
      return product([elements, depth])
    default: return 0
    }
  }

  func weightShape(_ node: Node) -> [Int]? { node.input(1).flatMap { view.constantShape(view.tensor($0)) } }
}
