import ONNXGraph
import ONNXTensor
import QuantCore

/// Placement for targets whose integer kernels read and write integers: `betweenQuantized` and `everyTensor`.
///
/// Nodes are gathered into units, each of which one integer kernel computes: an operator with the bias and the
/// activations behind it. All units with a role start quantized; those whose conditions fail fall back to float, in the
/// order of the graph, until none does.
struct RegionPlacement {
  private enum Role { case weighted, product, arithmetic, movement }

  private struct Unit {
    var nodes: [Node]
    let role: Role
    /// Operands that carry activations or constants on the activation grid.
    var inputs: [Edge]
    var outputs: [Value]
    var weighted: PlacementPlan.Weighted?
    var weight: PlacementPlan.Weight?
  }

  private let view: QuantizationView
  private let target: TargetPreset
  private let judge: TensorJudge
  private let forms: OperatorForms
  private let isSelected: (Node) -> Bool
  private let missingData: InsertionOptions.MissingData
  private var units: [Unit] = []
  private var producers: [Value: Int] = [:]
  private var unitOf: [Node: Int] = [:]
  private var isActive: [Bool] = []
  private var refused: [Value: String] = [:]
  private var plan = PlacementPlan()

  init(
    _ view: QuantizationView, options: InsertionOptions, judge: TensorJudge, isSelected: @escaping (Node) -> Bool
  ) {
    self.view = view
    target = options.target
    self.judge = judge
    self.isSelected = isSelected
    missingData = options.missingData
    forms = OperatorForms(view: view, target: options.target)
  }

  mutating func run() throws -> PlacementPlan {
    for node in view.nodes where unitOf[node] == nil { gather(node) }
    isActive = [Bool](repeating: true, count: units.count)
    try settle()
    try settleUnusable()
    if target.placement == .everyTensor { dropUnconnected() }
    try emit()
    return plan
  }

  // MARK: Units

  private mutating func gather(_ node: Node) {
    guard var unit = head(node) else { return }
    extend(&unit)
    for member in unit.nodes { unitOf[member] = units.count }
    for output in unit.outputs { producers[output] = units.count }
    units.append(unit)
  }

  private mutating func head(_ node: Node) -> Unit? {
    guard isSelected(node) else {
      plan.leave(node, .selected, "the selectors leave it out")
      return nil
    }
    guard node.isStandard else {
      plan.leave(node, .noRole, "domain '\(node.canonicalDomain)' has no role for \(target.name)")
      return nil
    }
    let outputs = node.outputs.compactMap { $0 }.filter(isRead)
    if target.weighted.contains(node.opType) { return weightedHead(node, outputs) }
    if target.movement.contains(node.opType) {
      if let obstacle = forms.movementObstacle(node) {
        plan.leave(node, .noRole, obstacle)
        return nil
      }
      let values = node.opType == "Split" ? outputs : Array(outputs.prefix(1))
      return Unit(nodes: [node], role: .movement, inputs: [Edge(node: node, index: 0)], outputs: values)
    }
    let isActivation = target.absorbed.contains(node.opType)
    guard target.arithmetic.contains(node.opType) || isActivation else {
      plan.leave(
        node, node.subgraphs.isEmpty ? .noRole : .nested,
        node.subgraphs.isEmpty ? "\(node.opType) has no integer kernel for \(target.name)" : nil)
      return nil
    }
    if isActivation, forms.absorbedBounds(node) == nil {
      plan.leave(node, .noRole, "its bounds are not constants")
      return nil
    }
    let indices: [Int]
    switch node.opType {
    case "Add", "Sub", "Mul", "Div", "PRelu": indices = [0, 1]
    case "Where": indices = [1, 2]
    case "Concat", "Max", "Min": indices = Array(node.inputs.indices)
    default: indices = [0]
    }
    return Unit(
      nodes: [node], role: .arithmetic, inputs: indices.map { Edge(node: node, index: $0) },
      outputs: Array(outputs.prefix(1)))
  }

  private mutating func weightedHead(_ node: Node, _ outputs: [Value]) -> Unit? {
    let output = Array(outputs.prefix(1))
    switch forms.weightForm(node) {
    case .unusable(let reason):
      plan.leave(node, .weightForm, reason)
      return nil
    case .activation:
      guard node.opType == "MatMul", target.quantizesProducts else {
        plan.leave(node, .weightForm, "its weight is no constant")
        return nil
      }
      return Unit(
        nodes: [node], role: .product, inputs: [Edge(node: node, index: 0), Edge(node: node, index: 1)], outputs: output
      )
    case .constant(let index, let axis):
      var unit = Unit(nodes: [node], role: .weighted, inputs: [Edge(node: node, index: 0)], outputs: output)
      unit.weight = PlacementPlan.Weight(node: node, index: index, axis: axis)
      unit.weighted = PlacementPlan.Weighted(node: node, input: 0, weight: index, bias: bias(node))
      return unit
    case .existing(let index):
      var unit = Unit(nodes: [node], role: .weighted, inputs: [Edge(node: node, index: 0)], outputs: output)
      unit.weighted = PlacementPlan.Weighted(node: node, input: 0, weight: index, bias: bias(node))
      return unit
    }
  }

  private func isRead(_ value: Value) -> Bool {
    view.uses[value] != nil || view.outputs.contains(value) || view.pairs[value] != nil
  }

  private func bias(_ node: Node) -> Edge? {
    node.opType == "MatMul" ? forms.matMulBias(node) : Edge(node: node, index: 2)
  }

  /// Takes in what the kernel of the unit computes along: the bias behind a MatMul, activations that Q absorbs.
  private func extend(_ unit: inout Unit) {
    guard unit.role != .movement else { return }
    while let output = unit.outputs.first, unit.outputs.count == 1, !view.outputs.contains(output),
      view.pairs[output] == nil,
      let uses = view.uses[output], uses.count == 1, uses[0].index >= 0, let last = unit.nodes.last
    {
      let next = uses[0].node
      guard isSelected(next), next.isStandard, let result = next.output(0) else { return }
      let isBias =
        target.fusesMatMulBias && unit.role == .weighted && unit.nodes.count == 1
        && forms.matMulBias(last)?.node == next
      let isActivation =
        target.absorbed.contains(next.opType) && uses[0].index == 0 && forms.absorbedBounds(next) != nil
      guard isBias || isActivation else { return }
      unit.nodes.append(next)
      unit.outputs = isRead(result) ? [result] : []
    }
  }

  // MARK: Conditions

  private mutating func settle() throws {
    var isChanging = true
    while isChanging {
      isChanging = false
      for index in units.indices where isActive[index] {
        guard let (rule, reason) = try obstacle(index) else { continue }
        isActive[index] = false
        isChanging = true
        for node in units[index].nodes { plan.leave(node, rule, reason) }
      }
    }
  }

  /// Why the unit cannot be quantized; nil where it can.
  private mutating func obstacle(_ index: Int) throws -> (PlacementRule, String)? {
    let unit = units[index]
    var hasActivation = false
    for edge in unit.inputs {
      guard let value = edge.node.input(edge.index) else { return (.noRole, "operand \(edge.index) is missing") }
      let tensor = view.tensor(value)
      if let problem = try obstacle(of: tensor) { return problem }
      if view.isConstant(tensor) { continue }
      hasActivation = true
      if unit.role == .arithmetic || unit.role == .movement, !comesAsInteger(tensor, as: value) {
        return (.between, "its operand '\(tensor.name)' is computed in float")
      }
    }
    guard hasActivation else { return (.noRole, "all its operands are constants") }
    guard writesIntegers(unit) else { return nil }
    for output in unit.outputs { if let problem = try obstacle(of: output) { return problem } }
    if unit.role == .arithmetic || unit.role == .movement, !unit.outputs.contains(where: isReadAsInteger) {
      return (.between, "no quantized operator reads its result")
    }
    return nil
  }

  private func writesIntegers(_ unit: Unit) -> Bool {
    switch unit.role {
    case .arithmetic, .movement: true
    case .weighted, .product:
      target.placement == .everyTensor
        ? unit.outputs.contains(where: isReadAsInteger)
        // An activation is part of an integer kernel only where a Q absorbs it.
        : unit.nodes.contains { target.integerOutput.contains($0.opType) || target.absorbed.contains($0.opType) }
    }
  }

  private mutating func obstacle(of tensor: Value) throws -> (PlacementRule, String)? {
    if let reason = refused[tensor] { return (.noData, "'\(tensor.name)': \(reason)") }
    guard case .float(let rule, let reason) = try judge.verdict(tensor) else { return nil }
    return (rule, "'\(tensor.name)': \(reason)")
  }

  /// A pair that only others read does not count: it was put there for them.
  private func comesAsInteger(_ tensor: Value, as value: Value) -> Bool {
    if view.isInput(tensor) || view.isDequantized(value) { return true }
    return producers[tensor].map { isActive[$0] } ?? false
  }

  private func isReadAsInteger(_ tensor: Value) -> Bool {
    if view.leavesAsInteger(tensor) || (target.placement == .everyTensor && view.outputs.contains(tensor)) {
      return true
    }
    return (view.uses[tensor] ?? []).contains { use in
      guard let index = unitOf[use.node], isActive[index] else { return false }
      return units[index].inputs.contains(Edge(node: use.node, index: use.index))
    }
  }

  /// Tensors that are needed and lack statistics: an error, or float and a new round.
  private mutating func settleUnusable() throws {
    while true {
      var found = false
      for index in units.indices where isActive[index] {
        for tensor in touched(units[index]) where refused[tensor] == nil {
          guard case .unusable(let reason) = try judge.verdict(tensor) else { continue }
          try PlacementPlan.refuse(tensor, reason, by: units[index].nodes[0], missingData)
          refused[tensor] = reason
          plan.floatTensors.append((tensor, .noData, reason))
          found = true
        }
      }
      if !found { return }
      try settle()
    }
  }

  private func touched(_ unit: Unit) -> [Value] {
    unit.inputs.compactMap { $0.node.input($0.index) }.map(view.tensor) + (writesIntegers(unit) ? unit.outputs : [])
  }

  private mutating func dropUnconnected() {
    var groups = TensorGroups()
    for index in units.indices where isActive[index] {
      let tensors = touched(units[index]).filter { !view.isConstant($0) }
      for tensor in tensors.dropFirst() { groups.join(tensors[0], tensor) }
    }
    var anchored = Set<Value>()
    for index in units.indices where isActive[index] {
      let tensors = touched(units[index]).filter { !view.isConstant($0) }
      let isAnchor =
        units[index].role == .weighted || units[index].role == .product || tensors.contains { view.pairs[$0] != nil }
      if isAnchor, let first = tensors.first { anchored.insert(groups.root(first)) }
    }
    for index in units.indices where isActive[index] {
      guard let first = touched(units[index]).first(where: { !view.isConstant($0) }) else { continue }
      if anchored.contains(groups.root(first)) { continue }
      isActive[index] = false
      for node in units[index].nodes { plan.leave(node, .reachable) }
    }
  }

  // MARK: Result

  private mutating func emit() throws {
    let inputRule = target.placement == .everyTensor ? PlacementRule.everyTensor : .fusedInputs
    let outputRule = target.placement == .everyTensor ? PlacementRule.everyTensor : .fusedOutputs
    for index in units.indices where isActive[index] {
      let unit = units[index]
      for (position, node) in unit.nodes.enumerated() {
        if position == 0 {
          plan.quantize(node, unit.role == .movement ? .sharedScale : inputRule)
        } else {
          plan.quantize(node, node.opType == "Add" ? .matMulBias : .absorbed)
        }
      }
      var shared: [Value] = []
      for edge in unit.inputs {
        guard let value = edge.node.input(edge.index) else { continue }
        let tensor = view.tensor(value)
        if view.isConstant(tensor) {
          if !view.isDequantized(value) { plan.constants.append(edge) }
          continue
        }
        plan.edges.append((edge, inputRule))
        shared.append(tensor)
      }
      if let weight = unit.weight { plan.weights.append(weight) }
      if let weighted = unit.weighted { plan.weighted.append(weighted) }
      if writesIntegers(unit) {
        for output in unit.outputs { plan.tensors.append((output, outputRule)) }
        shared += unit.outputs
      }
      if unit.role == .movement || target.sharing.contains(unit.nodes[0].opType) {
        for tensor in shared.dropFirst() { plan.groups.join(shared[0], tensor) }
      }
    }
    try noteFloatTensors()
  }

  /// Tensors between operators with roles that stay float for a reason of their own.
  private mutating func noteFloatTensors() throws {
    var seen = Set<Value>()
    for index in units.indices where !isActive[index] {
      for tensor in touched(units[index]) where seen.insert(tensor).inserted {
        guard case .float(let rule, let reason) = try judge.verdict(tensor),
          [.drowned, .rescued, .selected].contains(rule)
        else { continue }
        plan.floatTensors.append((tensor, rule, reason))
      }
    }
  }
}

extension PlacementPlan {
  /// Throws where the policy makes unusable statistics an error.
  static func refuse(_ tensor: Value, _ reason: String, by node: Node, _ policy: InsertionOptions.MissingData) throws {
    guard policy == .error else { return }
    throw PassError(
      .noStatistics, "tensor '\(tensor.name)', which '\(node.label)' needs quantized: \(reason)",
      advice: "calibrate with data that reaches it, exclude it, or say --missing-data float")
  }
}
