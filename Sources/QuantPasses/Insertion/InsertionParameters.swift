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
    var sources: [Value: TensorJudge.Measured] = [:]
    var groups: [Value: [Value]] = [:]
    var order: [Value] = []
    var moved = Set<Value>()
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
      let scheme = try scheme(of: members)
      for tensor in members {
        switch try judge.verdict(tensor) {
        case .existing:
          if let known = view.pairs[tensor]?.parameters, known.axis == nil {
            parameters[tensor] = known
            trained = trained ?? known
          }
        case .measured(let measured):
          let final = try overridden(tensor, measured, scheme)
          sources[tensor] = final
          ranges.append(final)
        case .constant, .float, .unusable: break
        }
      }
      guard let first = ranges.first else { continue }
      var shared = trained ?? first.parameters
      if trained == nil, ranges.count > 1 {
        let union = ValueRange(ranges.map(\.range.lower).min() ?? 0, ranges.map(\.range.upper).max() ?? 0)
        shared = try scheme.parameters(for: union)
      }
      for tensor in members where parameters[tensor] == nil {
        parameters[tensor] = shared.rounded(to: types[tensor])
        if trained == nil, moveOffUnit(tensor) { moved.insert(tensor) }
      }
      if !wideNodes.isEmpty, members.allSatisfy({ judge.widening($0) == nil }) {
        let union = ValueRange(ranges.map(\.range.lower).min() ?? 0, ranges.map(\.range.upper).max() ?? 0)
        let isFixed = ranges.count == 1 && first.method == "fixed"
        let wide = try target.wideScheme.parameters(for: isFixed ? target.widened(union) : union)
        for tensor in members where meetsWideKernel(tensor) { wideParameters[tensor] = wide.rounded(to: types[tensor]) }
      }
    }
    for (tensor, rule) in tensors {
      let root = plan.groups.root(tensor)
      let others = (groups[root] ?? []).count - 1
      var decision = Decision(
        tensor: tensor.name, rule: rule, reason: others > 0 ? "shares its scale with \(others) more" : rule.sentence,
        parameters: parameters[tensor])
      switch try judge.verdict(tensor) {
      case .measured(let measured):
        let source = sources[tensor] ?? measured
        (decision.method, decision.range) = (source.method, source.range)
        if moved.contains(tensor) {
          (decision.rule, decision.reason) = (.openVINOUnit, PlacementRule.openVINOUnit.sentence)
        }
        if let reason = judge.widening(tensor) { (decision.rule, decision.reason) = (.rescued, reason) }
        if overrides.tensors[tensor] != nil {
          (decision.rule, decision.reason) = (.override, PlacementRule.override.sentence)
        }
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

  /// The grid of tensors that share a scale: the target's with the overrides that one of them has.
  private func scheme(of members: [Value]) throws -> QuantizationScheme {
    var found: (change: SchemeChange, tensor: Value)?
    for tensor in members {
      guard let change = overrides.tensors[tensor]?.activations else { continue }
      if let found, found.change != change {
        throw PassError(
          .badOption,
          "'\(found.tensor.name)' and '\(tensor.name)' must share one scale, and the overrides give them different grids",
          advice: "give both the same, or name one of them only")
      }
      found = (change, tensor)
    }
    let base: QuantizationScheme
    if members.contains(where: { judge.widening($0) != nil }) {
      base = target.wideScheme
    } else if let centered = target.centered, try needsCenter(members) {
      base = centered
    } else {
      base = target.activations
    }
    return found?.change.applied(to: base) ?? base
  }

  /// Whether a reader takes no zero point, and the tensors' own grid would have one or the wrong type.
  private func needsCenter(_ members: [Value]) throws -> Bool {
    if members.contains(where: plan.signed.contains) { return true }
    guard members.contains(where: plan.centered.contains) else { return false }
    return try members.contains {
      guard case .measured(let measured) = try judge.verdict($0) else { return false }
      return measured.range.lower < 0
    }
  }

  /// Moves a scale of 1 to the next larger number of its type where the engine would drop the pair.
  private mutating func moveOffUnit(_ tensor: Value) -> Bool {
    guard target.dropsUnitPairs, let unit = parameters[tensor], unit.scales == [1], unit.zeroPoints == [0] else {
      return false
    }
    let next = QuantizationParameters(elementType: unit.elementType, scale: Float(1).nextUp, zeroPoint: 0)
    parameters[tensor] = next.rounded(to: types[tensor])
    return true
  }

  private func meetsWideKernel(_ tensor: Value) -> Bool {
    if view.producer(tensor).map(wideNodes.contains) ?? false { return true }
    return (view.uses[tensor] ?? []).contains { wideNodes.contains($0.node) }
  }

  /// Whether the pair behind the tensor's producer has the wide type though the tensor does not ask for it.
  func isWrittenWide(_ tensor: Value) -> Bool {
    wideParameters[tensor] != nil && view.pairs[tensor] == nil
      && view.producer(tensor).map(wideNodes.contains) ?? false && plan.tensors.contains { $0.tensor === tensor }
  }

  /// The grid on which a node reads a tensor.
  func grid(of tensor: Value, readBy node: Node) -> QuantizationParameters? {
    wideNodes.contains(node) ? wideParameters[tensor] ?? parameters[tensor] : parameters[tensor]
  }

  private func overridden(
    _ tensor: Value, _ measured: TensorJudge.Measured, _ scheme: QuantizationScheme
  ) throws -> TensorJudge.Measured {
    let entry = overrides.tensors[tensor]
    if let range = entry?.range {
      return TensorJudge.Measured(range: range, parameters: try scheme.parameters(for: range), method: "given")
    }
    guard scheme.elementType != measured.parameters.elementType || scheme != target.activations || entry?.method != nil
    else { return measured }
    if entry == nil, scheme == target.wideScheme, judge.widening(tensor) != nil { return measured }
    guard let statistics = judge.statistics(of: tensor) else {
      return TensorJudge.Measured(
        range: measured.range, parameters: try scheme.parameters(for: measured.range), method: measured.method)
    }
    let choice = try (entry?.method ?? options.method).choose(for: statistics, scheme: scheme)
    return TensorJudge.Measured(
      range: choice.range, parameters: choice.parameters, method: choice.method.description)
  }
}
