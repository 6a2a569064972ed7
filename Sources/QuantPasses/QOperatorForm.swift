import ONNXGraph
import ONNXTensor

/// Rewrites operators between DequantizeLinear and QuantizeLinear as the operators on integers that onnxruntime has:
/// QLinearConv and QLinearMatMul of ONNX, QGemm and QLinear… of com.microsoft; those that only move elements read codes.
///
/// What onnxruntime would fuse itself is fused here, with the same results. All else stays between Q/DQ.
package struct QOperatorForm: Pass {
  package init() {}

  package func run(on model: Model) throws -> [JournalEntry] {
    var journal: [JournalEntry] = []
    for (graph, outer, _) in model.graph.enclosedGraphs() {
      var form = QOperatorRewriting(model: model, graph: graph, outer: outer)
      for node in graph.nodes where node.isStandard { form.rewrite(node) }
      if form.usesContrib, model.opset(QOperatorRewriting.contrib) == nil {
        form.patch.append(.setOpset(domain: QOperatorRewriting.contrib, version: 1))
      }
      journal += try form.patch.apply()
      try Self.removeUnread(graph, of: model)
    }
    return journal
  }

  /// DequantizeLinear that nobody reads any more, and constants that only they read.
  private static func removeUnread(_ graph: Graph, of model: Model) throws {
    let returned = Set(graph.allGraphs.flatMap { $0.outputs.map(\.value) })
    while true {
      let nodes = graph.nodes.filter { node in
        (node.isStandard("DequantizeLinear", "QuantizeLinear"))
          && node.outputs.allSatisfy { $0.map { $0.uses.isEmpty && !returned.contains($0) } ?? true }
      }
      guard !nodes.isEmpty else { break }
      let read = Set(nodes.flatMap { $0.inputs.compactMap { $0 } })
      var patch = GraphPatch(model, graph: graph)
      for node in nodes { patch.append(.remove(node)) }
      let doomed = Set(nodes)
      for value in read.sorted(by: { $0.name < $1.name })
      where graph.initializer(for: value) != nil && !returned.contains(value) && !graph.isInput(value)
        && value.uses.allSatisfy({ doomed.contains($0.node) })
      {
        patch.append(.removeInitializer(value))
      }
      try patch.apply()
    }
  }
}

struct QOperatorRewriting {
  static let contrib = "com.microsoft"

  /// Codes with their scale and zero point.
  private struct Codes {
    let value: Value
    let scale: Value
    let zeroPoint: Value
  }

  let graph: Graph
  let constants: Constants
  let returned: Set<Value>
  let opset: Int
  var patch: GraphPatch
  var names: NameAuthority
  private(set) var usesContrib = false

  init(model: Model, graph: Graph, outer: [Graph]) {
    self.graph = graph
    constants = Constants(graph: graph, outer: outer)
    returned = Set(graph.allGraphs.flatMap { $0.outputs.map(\.value) })
    opset = model.opset() ?? 1
    patch = GraphPatch(model, graph: graph)
    names = NameAuthority(model: model)
  }

  mutating func rewrite(_ node: Node) {
    switch node.opType {
    case "Conv": convolution(node)
    case "MatMul": product(node)
    case "Gemm": gemm(node)
    case "Add", "Mul":
      guard let a = codes(node.input(0)), let b = codes(node.input(1)), isScalar(a), isScalar(b),
        let (end, result) = result(node)
      else { return }
      replace(
        node, end, "QLinear\(node.opType)", Self.contrib,
        [a.value, a.scale, a.zeroPoint, b.value, b.scale, b.zeroPoint, result.scale, result.zeroPoint], result)
    case "Sigmoid", "LeakyRelu", "GlobalAveragePool", "AveragePool": unary(node)
    case "Softmax":
      guard opset >= 13 else { return }
      unary(node, adding: [Attribute("opset", int: opset), Attribute("axis", int: node.int("axis") ?? -1)])
    case "Concat":
      var inputs: [Value?] = []
      for input in node.inputs {
        guard let x = codes(input), isScalar(x) else { return }
        inputs += [x.value, x.scale, x.zeroPoint]
      }
      guard let (end, result) = result(node) else { return }
      replace(node, end, "QLinearConcat", Self.contrib, [result.scale, result.zeroPoint] + inputs, result)
    case "Where":
      guard let x = codes(node.input(1)), let y = codes(node.input(2)), isScalar(x), isScalar(y),
        let (end, result) = result(node)
      else { return }
      replace(
        node, end, "QLinearWhere", Self.contrib,
        [
          node.input(0), x.value, x.scale, x.zeroPoint, y.value, y.scale, y.zeroPoint, result.scale, result.zeroPoint,
        ], result)
    case "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Expand", "Tile", "MaxPool":
      movement(node)
    default: break
    }
  }

  // MARK: Operators

  private mutating func convolution(_ node: Node) {
    guard let x = codes(node.input(0)), isScalar(x), let w = codes(node.input(1)), let (end, result) = result(node)
    else { return }
    var inputs: [Value?] = [
      x.value, x.scale, x.zeroPoint, w.value, w.scale, w.zeroPoint, result.scale, result.zeroPoint,
    ]
    if node.input(2) != nil {
      guard let bias = bias(node.input(2)) else { return }
      inputs.append(bias)
    }
    replace(node, end, "QLinearConv", nil, inputs, result)
  }

  private mutating func product(_ node: Node) {
    guard let a = codes(node.input(0)), isScalar(a), let b = codes(node.input(1)), let (end, result) = result(node)
    else { return }
    replace(
      node, end, "QLinearMatMul", nil,
      [a.value, a.scale, a.zeroPoint, b.value, b.scale, b.zeroPoint, result.scale, result.zeroPoint], result)
  }

  private mutating func gemm(_ node: Node) {
    guard let a = codes(node.input(0)), isScalar(a), let b = codes(node.input(1)), node.float("beta") ?? 1 == 1,
      let output = node.output(0)
    else { return }
    var inputs: [Value?] = [a.value, a.scale, a.zeroPoint, b.value, b.scale, b.zeroPoint]
    if node.input(2) != nil {
      guard let bias = bias(node.input(2)) else { return }
      inputs.append(bias)
    } else {
      inputs.append(nil)
    }
    let attributes = node.attributes.filter { $0.name != "beta" }
    if let (end, result) = result(node) {
      replace(
        node, end, "QGemm", Self.contrib, inputs + [result.scale, result.zeroPoint], result, attributes: attributes)
    } else {
      while inputs.last == .some(nil) { inputs.removeLast() }
      usesContrib = true
      patch.add(
        entry(node, "QGemm"), .remove(node),
        .insert(
          NodeBlueprint(
            "QGemm", domain: Self.contrib, name: node.name, inputs: inputs, outputs: [output], attributes: attributes),
          .before(node)))
    }
  }

  private mutating func unary(_ node: Node, adding: [Attribute] = []) {
    guard let x = codes(node.input(0)), isScalar(x), let (end, result) = result(node) else { return }
    let added = Set(adding.map(\.name) + ["dilations"])
    if let dilations = node.ints("dilations"), dilations.contains(where: { $0 != 1 }) { return }
    replace(
      node, end, "QLinear\(node.opType)", Self.contrib,
      [x.value, x.scale, x.zeroPoint, result.scale, result.zeroPoint], result,
      attributes: node.attributes.filter { !added.contains($0.name) } + adding)
  }

  /// Reads and writes codes where both have one grid.
  private mutating func movement(_ node: Node) {
    guard node.outputs.count == 1, let x = codes(node.input(0)), isScalar(x), let output = node.output(0),
      let quantize = onlyQuantize(output), let result = codes(quantize), isSame(x.scale, result.scale),
      isSame(x.zeroPoint, result.zeroPoint)
    else { return }
    if node.opType == "MaxPool", opset < 12 { return }
    patch.add(
      entry(node, node.opType), .setInputs(node, [x.value] + node.inputs.dropFirst()), .remove(quantize),
      .setOutput(node, 0, result.value))
  }

  // MARK: Building blocks

  private func entry(_ node: Node, _ operatorType: String) -> JournalEntry {
    JournalEntry(
      rule: "F07", reason: "the form with operators on integers was asked for", subject: .node(node.label),
      action: "became \(operatorType) on codes")
  }

  private mutating func replace(
    _ node: Node, _ end: [Node], _ operatorType: String, _ domain: String?, _ inputs: [Value?], _ result: Codes,
    attributes: [Attribute]? = nil
  ) {
    if domain != nil { usesContrib = true }
    patch.add(
      entry(node, operatorType),
      ([node] + end).map { .remove($0) } + [
        .insert(
          NodeBlueprint(
            operatorType, domain: domain, name: node.name, inputs: inputs, outputs: [result.value],
            attributes: attributes ?? node.attributes), .before(node))
      ])
  }

  /// The codes behind a dequantized operand.
  private func codes(_ value: Value?) -> Codes? {
    guard let node = value?.producer, node.isStandard("DequantizeLinear"), node.int("block_size") ?? 0 == 0,
      let codes = node.input(0), let scale = node.input(1), let zeroPoint = node.input(2),
      constants.elementType(scale) == .float32, let type = constants.elementType(zeroPoint),
      type == .int8 || type == .uint8
    else { return nil }
    return Codes(value: codes, scale: scale, zeroPoint: zeroPoint)
  }

  private func codes(_ quantize: Node) -> Codes? {
    guard let codes = quantize.output(0), let scale = quantize.input(1), let zeroPoint = quantize.input(2),
      constants.elementType(scale) == .float32, let type = constants.elementType(zeroPoint),
      type == .int8 || type == .uint8
    else { return nil }
    return Codes(value: codes, scale: scale, zeroPoint: zeroPoint)
  }

  private func isScalar(_ codes: Codes) -> Bool { constants.shape(codes.scale)?.reduce(1, *) == 1 }

  private func isSame(_ left: Value, _ right: Value) -> Bool {
    guard left !== right else { return true }
    guard let a = constants.tensor(left), let b = constants.tensor(right), a.elementType == b.elementType else {
      return false
    }
    return a.count == 1 && b.count == 1 && a.floats == b.floats && a.integers == b.integers
  }

  /// The QuantizeLinear that alone reads a value.
  private func onlyQuantize(_ value: Value) -> Node? {
    guard value.uses.count == 1, !returned.contains(value), let node = value.uses.first?.node,
      node.isStandard("QuantizeLinear"), value.uses.first?.index == 0, graph.nodes.contains(node)
    else { return nil }
    return node
  }

  /// The codes that a node's result becomes, and the nodes on the way: activations that the grid implies, and Q.
  private func result(_ node: Node) -> ([Node], Codes)? {
    guard var value = node.output(0) else { return nil }
    var between: [Node] = []
    while onlyQuantize(value) == nil {
      guard value.uses.count == 1, !returned.contains(value), let next = value.uses.first?.node,
        graph.nodes.contains(next), next.isStandard("Relu", "Clip"), value.uses.first?.index == 0,
        let output = next.output(0)
      else { return nil }
      between.append(next)
      value = output
    }
    guard let quantize = onlyQuantize(value), let result = codes(quantize) else { return nil }
    for activation in between where !isImplied(activation, result) { return nil }
    return (between + [quantize], result)
  }

  /// Whether saturation of the codes does what the activation does.
  private func isImplied(_ activation: Node, _ codes: Codes) -> Bool {
    guard let scale = constants.floats(codes.scale)?.first, let zeroPoint = constants.tensor(codes.zeroPoint),
      let zero = zeroPoint.integers?.first, scale > 0
    else { return false }
    let (lowest, highest): (Float, Float) = zeroPoint.elementType == .int8 ? (-128, 127) : (0, 255)
    var (lower, upper) = (-Float.infinity, Float.infinity)
    if activation.opType == "Relu" {
      lower = 0
    } else {
      if let low = activation.input(1) {
        guard let bound = constants.floats(low), bound.count == 1 else { return false }
        lower = bound[0]
      }
      if let high = activation.input(2) {
        guard let bound = constants.floats(high), bound.count == 1 else { return false }
        upper = bound[0]
      }
    }
    func code(_ bound: Float) -> Float { (bound / scale).rounded(.toNearestOrEven) + Float(zero) }
    return code(lower) <= lowest && code(upper) >= highest
  }

  /// Codes of an int32 bias.
  private func bias(_ value: Value?) -> Value? {
    guard let node = value?.producer, node.isStandard("DequantizeLinear"), let codes = node.input(0),
      constants.elementType(codes) == .int32
    else { return nil }
    return codes
  }
}
