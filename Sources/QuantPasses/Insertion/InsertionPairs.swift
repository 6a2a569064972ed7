import ONNXGraph
import ONNXTensor
import QuantCore

extension Insertion {
  mutating func insertPairs() throws {
    for (tensor, rule) in quantizedTensors() {
      if let pair = view.pairs[tensor] {
        dequantized[tensor] = try existingValue(tensor, pair)
        continue
      }
      guard let grid = isWrittenWide(tensor) ? wideParameters[tensor] : parameters[tensor] else { continue }
      try insertPair(tensor, grid, rule)
    }
    // All readers of these read the dequantized tensor.
    for (tensor, _) in plan.tensors where view.pairs[tensor] == nil {
      guard let value = dequantized[tensor], value !== tensor else { continue }
      for use in tensor.uses where !(use.node.isStandard("QuantizeLinear") && !view.isMember(use.node)) {
        // A nested graph that quantizes it has a pair of its own.
        rewire(Edge(node: use.node, index: use.index), to: value)
      }
    }
    for (edge, _) in plan.edges {
      guard let value = edge.node.input(edge.index), !view.isDequantized(value),
        let source = dequantized[view.tensor(value)]
      else { continue }
      if source !== value { rewire(edge, to: source) }
      try convert(edge, of: view.tensor(value), source)
    }
  }

  /// Another pair behind that of a tensor, for a reader whose kernel has the other type.
  private mutating func convert(_ edge: Edge, of tensor: Value, _ source: Value) throws {
    guard let wide = wideParameters[tensor], let narrow = parameters[tensor], view.pairs[tensor] == nil,
      wideNodes.contains(edge.node) != isWrittenWide(tensor)
    else { return }
    if let known = converted[tensor] { return rewire(edge, to: known) }
    let grid = isWrittenWide(tensor) ? narrow : wide
    let base = "\(tensor.name)_\(grid.elementType.name)"
    let producer = tensor.producer.flatMap { view.isMember($0) ? $0 : nil }
    let (scale, zeroPoint, edits) = try gridValues(base, grid, types[tensor])
    let codes = Value(
      names.unique("\(base)_QuantizeLinear_Output"), type: ValueType(tensor.type, elementType: grid.elementType))
    let result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: tensor.type)
    let quantize = NodeBlueprint(
      "QuantizeLinear", name: names.unique("\(base)_QuantizeLinear"), inputs: [source, scale, zeroPoint],
      outputs: [codes])
    let dequantize = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [codes, scale, zeroPoint],
      outputs: [result])
    let position: GraphPatch.Position = producer.map { .after($0) } ?? .front
    patch.add(
      entry(.rescued, .tensor(tensor.name), "converted to \(grid.elementType.name) for '\(edge.node.label)'"),
      edits + [.insert(quantize, position), .insert(dequantize, position)])
    report.pairs += 1
    converted[tensor] = result
    rewire(edge, to: result)
  }

  mutating func existingValue(_ tensor: Value, _ pair: QuantizationView.Pair) throws -> Value? {
    if let output = pair.dequantize?.output(0) { return output }
    guard let quantize = pair.quantize, let codes = quantize.output(0) else { return nil }
    let value = Value(names.unique("\(tensor.name)_DequantizeLinear_Output"), type: tensor.type)
    let node = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(tensor.name)_DequantizeLinear"),
      inputs: [codes] + quantize.inputs.dropFirst(), outputs: [value],
      attributes: quantize.attributes.filter { $0.name == "axis" })
    // Only where somebody is going to read it.
    let isRead = plan.edges.contains { edge, _ in
      edge.node.input(edge.index).map { view.tensor($0) === tensor && !view.isDequantized($0) } ?? false
    }
    guard isRead, view.isMember(quantize) else { return nil }
    patch.add(entry(.existing, .tensor(tensor.name), "DequantizeLinear added"), .insert(node, .after(quantize)))
    report.pairs += 1
    return value
  }

  mutating func insertPair(_ tensor: Value, _ grid: QuantizationParameters, _ rule: PlacementRule) throws {
    let base = tensor.name
    // What comes from a graph around this one is quantized at the front.
    let producer = tensor.producer.flatMap { view.isMember($0) ? $0 : nil }
    let (scale, zeroPoint, edits) = try gridValues(base, grid, types[tensor])
    let codes = Value(
      names.unique("\(base)_QuantizeLinear_Output"), type: ValueType(tensor.type, elementType: grid.elementType))
    let isRenamed = graph.isOutput(tensor) && producer != nil && plan.tensors.contains { $0.tensor === tensor }
    var source = tensor
    var result = tensor
    var all = edits
    if isRenamed, let producer, let index = tensor.outputIndex {
      // The output keeps its name: it becomes the dequantized tensor.
      source = Value(names.unique("\(base)_QuantizeInput"), type: tensor.type)
      all.append(.setOutput(producer, index, source))
    } else {
      result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: tensor.type)
    }
    let position: GraphPatch.Position = producer.map { .after($0) } ?? .front
    all.append(
      .insert(
        NodeBlueprint(
          "QuantizeLinear", name: names.unique("\(base)_QuantizeLinear"), inputs: [source, scale, zeroPoint],
          outputs: [codes]), position))
    all.append(
      .insert(
        NodeBlueprint(
          "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [codes, scale, zeroPoint],
          outputs: [result]), position))
    patch.add(entry(rule, .tensor(base), "Q/DQ inserted"), all)
    report.pairs += 1
    dequantized[tensor] = result
  }

  /// Scale, in the type of what it scales, and zero point as initializers, named after what they belong to.
  mutating func gridValues(
    _ base: String, _ grid: QuantizationParameters, _ type: ElementType?
  ) throws -> (Value, Value, [GraphPatch.Edit]) {
    let shape = grid.axis == nil ? [] : [grid.scales.count]
    let scale = Tensor(grid.scales, shape: shape).rounded(to: type ?? .float32)
    let zeroPoint = try grid.zeroPointTensor(shape: shape)
    let (scaleValue, scaleEdit) = constant("\(base)_scale", scale)
    let (zeroValue, zeroEdit) = constant("\(base)_zero_point", zeroPoint)
    return (scaleValue, zeroValue, [scaleEdit, zeroEdit])
  }

  mutating func constant(_ name: String, _ tensor: Tensor) -> (Value, GraphPatch.Edit) {
    let value = Value(names.unique(name), type: .tensor(tensor.elementType, tensor.shape))
    return (value, .addInitializer(value, TensorLiteral(name: value.name, tensor)))
  }
}

extension QuantizationParameters {
  /// The zero points as they are stored.
  func zeroPointTensor(shape: [Int]) throws -> Tensor {
    switch elementType {
    case .int8: Tensor(zeroPoints.map { Int8(clamping: $0) }, shape: shape)
    case .uint8: Tensor(zeroPoints.map { UInt8(clamping: $0) }, shape: shape)
    case .int16: Tensor(zeroPoints.map { Int16(clamping: $0) }, shape: shape)
    case .uint16: Tensor(zeroPoints.map { UInt16(clamping: $0) }, shape: shape)
    case .int32: Tensor(zeroPoints, shape: shape)
    case .int4, .uint4, .int2, .uint2, .float8E4M3FN, .float8E5M2:
      // The code of zero is 0 in the float types too, whose zero points are all 0.
      Tensor(codes: zeroPoints.map { UInt8(truncatingIfNeeded: $0) }, elementType: elementType, shape: shape)
    default: throw PassError(.badOption, "zero points of type \(elementType.name) are not supported")
    }
  }
}

extension ValueType {
  /// The same shape with another element type; nil where there is no tensor type to start from.
  init?(_ type: ValueType?, elementType: ElementType) {
    guard var tensor = type?.tensorType else { return nil }
    tensor.elementType = elementType.rawValue
    self.init(.tensor(tensor))
  }
}
