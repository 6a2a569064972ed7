import ONNXGraph
import ONNXTensor
import QuantCore

extension Insertion {
  /// Tensors that have or get a pair, once each, in the order of the plan.
  func quantizedTensors() -> [(Value, PlacementRule)] {
    var seen = Set<Value>()
    var result: [(Value, PlacementRule)] = []
    for (tensor, rule) in plan.tensors where seen.insert(tensor).inserted { result.append((tensor, rule)) }
    for (edge, rule) in plan.edges {
      guard let value = edge.node.input(edge.index) else { continue }
      let tensor = view.tensor(value)
      if seen.insert(tensor).inserted { result.append((tensor, rule)) }
    }
    return result
  }

  mutating func solveParameters() throws {
    var groups: [Value: [Value]] = [:]
    var order: [Value] = []
    let tensors = quantizedTensors()
    for (tensor, _) in tensors {
      let root = plan.groups.root(tensor)
      if groups[root] == nil { order.append(root) }
      groups[root, default: []].append(tensor)
    }
    for root in order {
      let members = groups[root] ?? []
      var ranges: [TensorJudge.Measured] = []
      var trained: QuantizationParameters?
      for tensor in members {
        switch try judge.verdict(tensor) {
        case .existing:
          if let known = view.pairs[tensor]?.parameters, known.axis == nil {
            parameters[tensor] = known
            trained = trained ?? known
          }
        case .measured(let measured): ranges.append(measured)
        case .constant, .float, .unusable: break
        }
      }
      guard let first = ranges.first else { continue }
      var shared = trained ?? first.parameters
      if trained == nil, ranges.count > 1 {
        let union = ValueRange(ranges.map(\.range.lower).min() ?? 0, ranges.map(\.range.upper).max() ?? 0)
        shared = try target.activations.parameters(for: union)
      }
      for tensor in members where parameters[tensor] == nil { parameters[tensor] = shared }
    }
    for (tensor, rule) in tensors {
      let root = plan.groups.root(tensor)
      let others = (groups[root] ?? []).count - 1
      var decision = Decision(
        tensor: tensor.name, rule: rule, reason: others > 0 ? "shares its scale with \(others) more" : rule.sentence,
        parameters: parameters[tensor])
      switch try judge.verdict(tensor) {
      case .measured(let measured): (decision.method, decision.range) = (measured.method, measured.range)
      case .existing:
        decision.method = "existing"
        decision.rule = .existing
        decision.reason = PlacementRule.existing.sentence
        decision.isExisting = true
      case .constant, .float, .unusable: break
      }
      if decision.parameters != nil || decision.isExisting { report.decisions.append(decision) }
    }
  }
}
