import ONNXGraph
import ONNXTensor
import QuantCore

/// Placement for engines whose builder fuses around Q/DQ (`weightedInputs`): TensorRT's explicit quantization.
struct FusionPlacement {
  private let view: QuantizationView
  private let target: TargetPreset
  private let judge: TensorJudge
  private let forms: OperatorForms
  private let isSelected: (Node) -> Bool
  private let missingData: InsertionOptions.MissingData
  private var plan = PlacementPlan()
  private var wanted = Set<Edge>()
  private var quantized = Set<Node>()
  /// nil where the sizes of operators do not matter.
  private var shapeRule: PlacementRule?

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
    shapeRule = settledShapeRule()
    for node in view.nodes {
      guard isSelected(node) else {
        plan.leave(node, .selected, "the selectors leave it out")
        continue
      }
      if node.isStandard, target.weighted.contains(node.opType) {
        try placeWeighted(node)
      } else {
        plan.leave(node, node.subgraphs.isEmpty ? target.rules.fusion : .nested)
      }
    }
    for node in view.nodes where node.isStandard("Add") && isSelected(node) { try placeResidual(node) }
    // Pools feed pools: from the end, so that what a pool feeds is settled before it.
    for node in view.nodes.reversed()
    where node.isStandard && target.arithmetic.contains(node.opType) && isSelected(node) {
      try placePool(node)
    }
    share()
    return plan
  }

  // MARK: Weighted operators

  private mutating func placeWeighted(_ node: Node) throws {
    guard let value = node.input(0) else { return plan.leave(node, .weightForm, "it has no input") }
    let weight: PlacementPlan.Weight?
    var smallnessReason: String?
    switch forms.weightForm(node) {
    case .unusable(let reason): return plan.leave(node, .weightForm, reason)
    case .activation:
      return try placeProduct(node)
    case .constant(let index, let axis):
      weight = PlacementPlan.Weight(node: node, index: index, axis: axis)
      smallnessReason = smallness(node)
      if let smallnessReason, let rule = shapeRule { return plan.leave(node, rule, smallnessReason) }
    case .existing: weight = nil
    }
    guard !view.isConstant(view.tensor(value)) else {
      return plan.leave(node, .noRole, "all its operands are constants")
    }
    let (edge, isBehindPad) = beforePad(Edge(node: node, index: 0))
    let isCentered = target.centered != nil && node.opType == "ConvTranspose"
    let rule = isCentered ? target.rules.centered : isBehindPad ? target.rules.pad : target.rules.weighted
    guard try want(edge, rule, for: node) else { return }
    if isCentered, let read = edge.node.input(edge.index) { plan.centered.insert(view.tensor(read)) }
    quantized.insert(node)
    if let smallnessReason, target.needsTensorCoreShapes, let rule = target.rules.shape {
      plan.quantize(
        node, rule, "\(smallnessReason): too small to gain speed, as are all others, so size is not held against it")
    } else {
      plan.quantize(node, target.rules.weighted)
    }
    if let weight { plan.weights.append(weight) }
    let bias = node.opType == "MatMul" ? forms.matMulBias(node) : Edge(node: node, index: 2)
    plan.weighted.append(PlacementPlan.Weighted(node: node, input: 0, weight: 1, bias: bias))
  }

  private mutating func placeProduct(_ node: Node) throws {
    guard node.opType == "MatMul" else { return plan.leave(node, .weightForm, "its weight is no constant") }
    if let rule = target.rules.product, !target.quantizesProducts { return plan.leave(node, rule) }
    let edges = [Edge(node: node, index: 0), Edge(node: node, index: 1)]
    // Both or neither: one quantized operand alone only costs.
    for edge in edges {
      guard let value = edge.node.input(edge.index) else {
        return plan.leave(node, .weightForm, "an operand is missing")
      }
      let tensor = view.tensor(value)
      switch try judge.verdict(tensor) {
      case .existing, .measured: continue
      case .constant: return plan.leave(node, .weightForm, "'\(tensor.name)' is a constant")
      case .float(let rule, let reason):
        plan.floatTensors.append((tensor, rule, reason))
        return plan.leave(node, rule, "'\(tensor.name)': \(reason)")
      case .unusable: break
      }
    }
    for edge in edges {
      let rule = target.centered == nil ? target.rules.weighted : target.rules.centered
      guard try want(edge, rule, for: node) else { return }
    }
    for edge in edges where target.centered != nil {
      guard let tensor = edge.node.input(edge.index).map(view.tensor) else { continue }
      plan.centered.insert(tensor)
      if edge.index == 1 { plan.signed.insert(tensor) }
    }
    quantized.insert(node)
    plan.quantize(node, target.rules.weighted)
  }

  /// Small operators are left out where that leaves others; a model that is small altogether is quantized as it is.
  private func settledShapeRule() -> PlacementRule? {
    guard target.needsTensorCoreShapes, let rule = target.rules.shape else { return nil }
    for node in view.nodes where node.isStandard && target.weighted.contains(node.opType) && isSelected(node) {
      switch forms.weightForm(node) {
      case .constant:
        guard let value = node.input(0), !view.isConstant(view.tensor(value)) else { continue }
        if smallness(node) == nil { return rule }
      case .existing: return rule
      case .activation, .unusable: continue
      }
    }
    return nil
  }

  /// The operand to quantize instead of one that a Pad with zeros computes.
  private func beforePad(_ edge: Edge) -> (Edge, isBehindPad: Bool) {
    guard let value = edge.node.input(edge.index), !view.isDequantized(value),
      let pad = view.producer(view.tensor(value)),
      pad.isStandard("Pad"), forms.movementObstacle(pad) == nil, let source = pad.input(0),
      !view.isConstant(view.tensor(source)), view.pairs[view.tensor(value)] == nil || view.isDequantized(source)
    else { return (edge, false) }
    return (Edge(node: pad, index: 0), true)
  }

  /// Adds an operand; false, with the node left float, where its tensor cannot be quantized.
  private mutating func want(_ edge: Edge, _ rule: PlacementRule, for node: Node) throws -> Bool {
    guard let value = edge.node.input(edge.index) else { return false }
    let tensor = view.tensor(value)
    switch try judge.verdict(tensor) {
    case .existing, .measured: break
    case .constant: return false
    case .float(let rule, let reason):
      plan.leave(node, rule, "'\(tensor.name)': \(reason)")
      plan.floatTensors.append((tensor, rule, reason))
      return false
    case .unusable(let reason):
      try PlacementPlan.refuse(tensor, reason, by: node, missingData)
      plan.leave(node, .noData, "'\(tensor.name)': \(reason)")
      plan.floatTensors.append((tensor, .noData, reason))
      return false
    }
    if wanted.insert(edge).inserted { plan.edges.append((edge, rule)) }
    return true
  }

  // MARK: Shapes

  /// Why int8 tensor cores would not run it; nil where they would.
  private func smallness(_ node: Node) -> String? {
    guard let weight = node.input(1), let shape = view.constantShape(view.tensor(weight)) else { return nil }
    switch node.opType {
    case "Conv", "ConvTranspose":
      guard shape.count >= 3 else { return nil }
      let group = max(node.int("group") ?? 1, 1)
      let isTransposed = node.opType == "ConvTranspose"
      let outputs = isTransposed ? shape[1] * group : shape[0]
      let inputs = isTransposed ? shape[0] / group : shape[1]
      guard outputs < 16 || inputs < 16 else { return nil }
      let kernel = shape.dropFirst(2)
      let isSquare = kernel.allSatisfy { $0 == kernel.first }
      let readsInput = node.input(0).map { isGraphInput(view.tensor($0)) } ?? false
      if group == 1, outputs % 8 == 0 || inputs % 8 == 0, readsInput || outputs >= 16 || inputs >= 16, isSquare {
        return nil
      }
      if group > 1, outputs % 8 == 0, kernel.allSatisfy({ $0 >= 3 }) { return nil }
      return
        "\(inputs) input and \(outputs) output channels a group, kernel \(kernel.map { "\($0)" }.joined(separator: "x"))"
    default:
      guard shape.count >= 2 else { return nil }
      let isTransposed = node.opType == "Gemm" && node.int("transB") ?? 0 != 0
      let depth = shape[shape.count - (isTransposed ? 1 : 2)]
      let columns = shape[shape.count - (isTransposed ? 2 : 1)]
      if columns < 16 || depth < 16 { return "a product of depth \(depth) and \(columns) columns" }
      return rows(node) == 1 ? "a product of one row" : nil
    }
  }

  private func isGraphInput(_ tensor: Value) -> Bool {
    if view.isInput(tensor) { return true }
    guard let producer = view.producer(tensor), producer.isStandard, target.movement.contains(producer.opType),
      let source = producer.input(0)
    else { return false }
    return isGraphInput(view.tensor(source))
  }

  /// Rows of a product; nil where the batch is open.
  private func rows(_ node: Node) -> Int? {
    guard let output = node.output(0) else { return nil }
    if let shape = output.type?.staticShape { return shape.dropLast().reduce(1, *) }
    let isOpen = view.graph.requiredInputs.contains { $0.type?.staticShape == nil }
    guard !isOpen, let shape = judge.shape(output) ?? node.input(0).flatMap({ judge.shape(view.tensor($0)) }) else {
      return nil
    }
    return shape.dropLast().reduce(1, *)
  }

  // MARK: Residual Adds and pools

  /// The branch that ends in a convolution fuses with the Add; the other one, the skip, is quantized.
  private mutating func placeResidual(_ node: Node) throws {
    guard node.inputs.count == 2, let left = node.input(0), let right = node.input(1), left !== right else { return }
    let tensors = [view.tensor(left), view.tensor(right)]
    guard !tensors.contains(where: view.isConstant) else { return }
    let fusing = [0, 1].filter { endsInConvolution(tensors[$0]) }
    guard !fusing.isEmpty else { return }
    let main = fusing.count == 2 ? (depth(tensors[1]) > depth(tensors[0]) ? 1 : 0) : fusing[0]
    if try want(Edge(node: node, index: 1 - main), target.rules.residual, for: node) {
      plan.quantize(node, target.rules.residual, "its skip input is '\(tensors[1 - main].name)'")
    }
  }

  private func endsInConvolution(_ tensor: Value) -> Bool {
    guard let producer = view.producer(tensor), quantized.contains(producer),
      producer.isStandard("Conv", "ConvTranspose")
    else {
      return false
    }
    return view.uses[tensor]?.count == 1 && !view.outputs.contains(tensor)
  }

  /// The longest way from an input, in nodes.
  private func depth(_ tensor: Value) -> Int {
    var depths: [Value: Int] = [:]
    for node in view.nodes {
      let before = node.inputs.compactMap { $0 }.map { depths[view.tensor($0)] ?? 0 }.max() ?? 0
      for output in node.outputs { if let output { depths[output] = before + 1 } }
    }
    return depths[tensor] ?? 0
  }

  private mutating func placePool(_ node: Node) throws {
    guard let output = node.output(0), feedsQuantized(output), let input = node.input(0) else { return }
    guard !view.isConstant(view.tensor(input)) else { return }
    if try want(Edge(node: node, index: 0), target.rules.pooling, for: node) {
      plan.quantize(node, target.rules.pooling)
    }
  }

  private func feedsQuantized(_ tensor: Value) -> Bool {
    (view.uses[tensor] ?? []).contains { use in
      if wanted.contains(Edge(node: use.node, index: use.index)) { return true }
      guard use.node.isStandard, use.index == 0, target.movement.contains(use.node.opType) else { return false }
      return use.node.outputs.contains { $0.map(feedsQuantized) ?? false }
    }
  }

  // MARK: Sharing

  /// Tensors that commuting operators and Concat connect share a scale, whichever of them get a pair.
  private mutating func share() {
    for node in view.nodes where node.isStandard {
      let isConcat = target.sharing.contains(node.opType)
      guard isConcat || (target.movement.contains(node.opType) && forms.movementObstacle(node) == nil) else { continue }
      let inputs = isConcat ? node.inputs : Array(node.inputs.prefix(1))
      let outputs = node.opType == "Split" ? node.outputs : Array(node.outputs.prefix(1))
      let tensors = (inputs + outputs).compactMap { $0 }.map(view.tensor).filter { !view.isConstant($0) }
      for tensor in tensors.dropFirst() { plan.groups.join(tensors[0], tensor) }
    }
  }
}
