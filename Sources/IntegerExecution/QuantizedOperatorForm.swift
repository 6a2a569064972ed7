import ONNXGraph
import ONNXTensor

/// A model of operators on codes (QLinearConv and its kin, and movements of codes between them) as the Q/DQ model that it
/// stands for: QLinearX is DequantizeLinear, X, QuantizeLinear. The only place that knows their operands; what lowers,
/// stores and counts Q/DQ models serves both.
struct QuantizedOperatorForm {
  /// A scale and a zero point as values of the new graph, and the type of the codes.
  private struct Grid {
    let scale: Value
    let zeroPoint: Value
    let type: ElementType
  }

  private let model: Model
  private let source: Graph
  private let graph: Graph
  private var copies: [Value: Value] = [:]
  /// Which grid the codes in a value of the new graph have.
  private var grids: [Value: Grid] = [:]
  private var names: NameAuthority

  private static let contrib = "com.microsoft"
  /// Operators whose result has the grid of their first input.
  private static let movements: Set<String> = [
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity", "MaxPool", "Reshape",
    "Slice",
    "SpaceToDepth", "Squeeze", "Tile", "Transpose", "Unsqueeze",
  ]

  /// nil where the model has none of these operators.
  static func expanded(_ model: Model) -> Model? {
    guard model.graph.nodes.contains(where: isOperatorOnCodes), let order = model.graph.topologicalOrder() else {
      return nil
    }
    var form = QuantizedOperatorForm(model)
    for node in order { form.add(node) }
    return form.result()
  }

  private static func isOperatorOnCodes(_ node: Node) -> Bool {
    switch node.canonicalDomain {
    case "": node.opType == "QLinearConv" || node.opType == "QLinearMatMul"
    case contrib: node.opType.hasPrefix("QLinear") || node.opType == "QGemm"
    default: false
    }
  }

  private init(_ model: Model) {
    self.model = model
    source = model.graph
    graph = Graph(name: model.graph.name)
    names = NameAuthority(model: model)
    for port in source.inputs { graph.inputs.append(Graph.Port(copy(port.value), info: port.info)) }
    for item in source.initializers { graph.addInitializer(copy(item.value), item.literal) }
    graph.sparseInitializers = source.sparseInitializers
  }

  private mutating func result() -> Model {
    for port in source.outputs { graph.outputs.append(Graph.Port(copy(port.value), info: port.info)) }
    let result = Model(graph: graph)
    result.irVersion = model.irVersion
    result.opsetImports = model.opsetImports
    result.functions = model.functions
    result.metadata = model.metadata
    result.backing = model.backing
    return result
  }

  private mutating func copy(_ value: Value) -> Value {
    if let known = copies[value] { return known }
    let value = (old: value, new: Value(value.name, type: value.type))
    copies[value.old] = value.new
    return value.new
  }

  // MARK: Nodes

  private mutating func add(_ node: Node) {
    if Self.isOperatorOnCodes(node) {
      if let built = operation(node) {
        quantize(built.real, built.grid, node)
        return
      }
    } else if node.canonicalDomain.isEmpty, moves(node) {
      return
    }
    let plain = Node(
      node.opType, domain: node.domain, name: node.name, inputs: node.inputs.map { $0.map { copy($0) } },
      outputs: node.outputs.map { $0.map { copy($0) } }, attributes: node.attributes)
    plain.overload = node.overload
    graph.append(plain)
    if node.canonicalDomain.isEmpty, node.opType == "QuantizeLinear", let output = node.output(0),
      let grid = grid(node, 1, 2, of: nil, default: .uint8)
    {
      grids[copy(output)] = grid
    }
  }

  /// The operator on reals for `node`, and the grid of its result; a nil grid where the result is real. nil where an
  /// operand is not what ONNX or onnxruntime says.
  private mutating func operation(_ node: Node) -> (real: Value, grid: Grid?)? {
    switch node.opType {
    case "QLinearConv":
      let axis = isScalar(node.input(4)) ? nil : 0
      guard let x = operand(node, 0), let w = operand(node, 3, axis: axis), let grid = grid(node, 6, 7, of: x) else {
        return nil
      }
      var inputs: [Value?] = [x.real, w.real]
      if node.input(8) != nil {
        guard let bias = bias(node, 8, x, w) else { return nil }
        inputs.append(bias)
      }
      return (real(node, "Conv", inputs, node.attributes), grid)
    case "QLinearMatMul":
      let axis = isScalar(node.input(4)) ? nil : -1
      guard let a = operand(node, 0), let b = operand(node, 3, axis: axis), let grid = grid(node, 6, 7, of: a) else {
        return nil
      }
      return (real(node, "MatMul", [a.real, b.real]), grid)
    case "QGemm": return product(node)
    case "QLinearAdd", "QLinearMul":
      guard let a = operand(node, 0), let b = operand(node, 3), let grid = grid(node, 6, 7, of: a) else { return nil }
      return (real(node, String(node.opType.dropFirst(7)), [a.real, b.real]), grid)
    case "QLinearSigmoid", "QLinearLeakyRelu", "QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSoftmax":
      guard let x = operand(node, 0), let grid = grid(node, 3, 4, of: x), (node.int("channels_last") ?? 0) == 0,
        node.opType != "QLinearSoftmax" || ((node.int("opset") ?? 13) < 13) == ((model.opset() ?? 13) < 13)
      else { return nil }
      let own: Set<String> = ["channels_last", "opset"]
      let attributes = node.attributes.filter { !own.contains($0.name) }
      return (real(node, String(node.opType.dropFirst(7)), [x.real], attributes), grid)
    case "QLinearConcat":
      var inputs: [Value?] = []
      var first: Operand?
      for index in stride(from: 2, to: node.inputs.count, by: 3) {
        guard let x = operand(node, index) else { return nil }
        first = first ?? x
        inputs.append(x.real)
      }
      guard let first, let grid = grid(node, 0, 1, of: first) else { return nil }
      return (real(node, "Concat", inputs, node.attributes), grid)
    case "QLinearWhere":
      guard let condition = node.input(0), let x = operand(node, 1), let y = operand(node, 4),
        let grid = grid(node, 7, 8, of: x)
      else { return nil }
      return (real(node, "Where", [copy(condition), x.real, y.real]), grid)
    default: return nil
    }
  }

  private mutating func product(_ node: Node) -> (real: Value, grid: Grid?)? {
    let isTransposed = (node.int("transB") ?? 0) != 0
    let axis = isScalar(node.input(4)) ? nil : isTransposed ? 0 : 1
    guard (node.int("transA") ?? 0) == 0, let a = operand(node, 0),
      let b = operand(node, 3, axis: axis, factor: node.float("alpha") ?? 1)
    else { return nil }
    var inputs: [Value?] = [a.real, b.real]
    if node.input(6) != nil {
      guard let bias = bias(node, 6, a, b) else { return nil }
      inputs.append(bias)
    }
    var result: Grid?
    if node.input(7) != nil {
      guard let grid = grid(node, 7, 8, of: a) else { return nil }
      result = grid
    }
    let attributes = [Attribute("transB", int: isTransposed ? 1 : 0)]
    guard result == nil, let output = node.output(0) else { return (real(node, "Gemm", inputs, attributes), result) }
    return (real(node, "Gemm", inputs, attributes, into: copy(output)), nil)
  }

  /// A movement of codes whose grid is known, as a movement of reals.
  private mutating func moves(_ node: Node) -> Bool {
    guard Self.movements.contains(node.opType), node.outputs.count == 1, let input = node.input(0),
      let output = node.output(0), let grid = grids[copy(input)]
    else { return false }
    let x = dequantized(copy(input), grid.scale, grid.zeroPoint, nil)
    let rest = node.inputs.dropFirst().map { value in value.map { copy($0) } }
    let moved = real(node, node.opType, [x] + rest, node.attributes)
    grids[copy(output)] = grid
    graph.append(
      Node("QuantizeLinear", inputs: [moved, grid.scale, grid.zeroPoint], outputs: [copy(output)]))
    return true
  }

  // MARK: Building blocks

  private struct Operand {
    let real: Value
    let scale: Tensor
    let type: ElementType
  }

  private mutating func fresh(_ stem: String) -> Value { Value(names.unique(stem)) }

  private func isScalar(_ value: Value?) -> Bool {
    value.flatMap { source.initializer(for: $0) }.flatMap { try? $0.tensor() }.map { $0.count == 1 } ?? true
  }

  private func constant(_ value: Value?) -> Tensor? {
    value.flatMap { source.initializer(for: $0) }.flatMap { try? $0.tensor() }
  }

  /// The reals of the codes at input `index`, whose scale and zero point follow; `factor` goes into the scale.
  private mutating func operand(_ node: Node, _ index: Int, axis: Int? = nil, factor: Float = 1) -> Operand? {
    guard let codes = node.input(index), let scaleValue = node.input(index + 1), let scale = constant(scaleValue),
      scale.elementType == .float32, let type = type(of: codes, zeroPoint: node.input(index + 2)),
      axis != nil || scale.count == 1
    else { return nil }
    var own = scale
    var scaleCopy = copy(scaleValue)
    if factor != 1 {
      own = Tensor(scale.array(Float.self).map { $0 * factor }, shape: scale.shape)
      scaleCopy = graph.addInitializer(named: names.unique(scaleValue.name + "/scaled"), own)
    }
    let count = scale.count
    let zero: Value
    if let given = node.input(index + 2) {
      guard let tensor = constant(given) else { return nil }
      // One zero point for all channels, as some writers have it, repeated as ONNX's DequantizeLinear wants it.
      zero =
        tensor.count == count
        ? copy(given) : graph.addInitializer(named: names.unique(given.name + "/spread"), spread(tensor, count, type))
    } else {
      zero = graph.addInitializer(
        named: names.unique(scaleValue.name + "/zero"),
        Tensor(codes: [UInt8](repeating: 0, count: count), elementType: type, shape: scale.shape))
    }
    return Operand(real: dequantized(copy(codes), scaleCopy, zero, axis), scale: own, type: type)
  }

  private func spread(_ zero: Tensor, _ count: Int, _ type: ElementType) -> Tensor {
    let value = UInt8(truncatingIfNeeded: zero.integers?.first ?? 0)
    return Tensor(codes: [UInt8](repeating: value, count: count), elementType: type, shape: [count])
  }

  private func type(of codes: Value, zeroPoint: Value?) -> ElementType? {
    let type =
      constant(zeroPoint)?.elementType ?? copies[codes].flatMap { grids[$0]?.type } ?? constant(codes)?.elementType
      ?? codes.type?.elementType
    return type == .int8 || type == .uint8 || zeroPoint != nil && (type == .int16 || type == .uint16) ? type : nil
  }

  private mutating func dequantized(_ codes: Value, _ scale: Value, _ zero: Value, _ axis: Int?) -> Value {
    let output = fresh(codes.name + "/real")
    graph.append(
      Node(
        "DequantizeLinear", inputs: [codes, scale, zero], outputs: [output],
        attributes: axis.map { [Attribute("axis", int: $0)] } ?? []))
    return output
  }

  private mutating func real(
    _ node: Node, _ opType: String, _ inputs: [Value?], _ attributes: [Attribute] = [], into result: Value? = nil
  ) -> Value {
    let output = result ?? fresh((node.output(0)?.name ?? opType) + "/real")
    graph.append(Node(opType, name: node.label, inputs: inputs, outputs: [output], attributes: attributes))
    return output
  }

  private mutating func quantize(_ real: Value, _ grid: Grid?, _ node: Node) {
    // A result without a grid is the node's own.
    guard let grid, let output = node.output(0) else { return }
    let result = copy(output)
    grids[result] = grid
    graph.append(Node("QuantizeLinear", inputs: [real, grid.scale, grid.zeroPoint], outputs: [result]))
  }

  /// Scale and zero point of a result; absent, the zero point is 0 in the type of `operand`.
  private mutating func grid(
    _ node: Node, _ scale: Int, _ zero: Int, of operand: Operand?, default type: ElementType = .uint8
  ) -> Grid? {
    guard let scaleValue = node.input(scale), let tensor = constant(scaleValue), tensor.count == 1,
      tensor.elementType == .float32
    else { return nil }
    if let given = node.input(zero) {
      guard let tensor = constant(given), tensor.count == 1 else { return nil }
      return Grid(scale: copy(scaleValue), zeroPoint: copy(given), type: tensor.elementType)
    }
    let type = operand?.type ?? type
    guard type == .int8 || type == .uint8 else { return nil }
    let added = graph.addInitializer(
      named: names.unique(scaleValue.name + "/zero"), Tensor(codes: [0], elementType: type, shape: tensor.shape))
    return Grid(scale: copy(scaleValue), zeroPoint: added, type: type)
  }

  /// An int32 bias in units of both scales.
  private mutating func bias(_ node: Node, _ index: Int, _ x: Operand, _ w: Operand) -> Value? {
    guard let value = node.input(index), let tensor = constant(value), tensor.elementType == .int32 else { return nil }
    let input = x.scale.array(Float.self)[0]
    let scales = w.scale.array(Float.self).map { input * $0 }
    guard scales.count == 1 || scales.count == tensor.count, tensor.rank <= 1 || scales.count == 1 else { return nil }
    let scale = graph.addInitializer(
      named: names.unique(value.name + "/scale"), Tensor(scales, shape: scales.count == 1 ? [] : [scales.count]))
    let output = fresh(value.name + "/real")
    graph.append(
      Node(
        "DequantizeLinear", inputs: [copy(value), scale], outputs: [output],
        attributes: scales.count == 1 ? [] : [Attribute("axis", int: 0)]))
    return output
  }
}
