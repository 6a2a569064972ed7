import ONNXGraph
import ONNXTensor
import TestSupport

/// Builds small Q/DQ models with random weights.
struct QDQBuilder {
  var random: SeededGenerator
  let graph = Graph(name: "g")
  private var count = 0

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  mutating func fresh(_ stem: String) -> Value {
    count += 1
    return Value("\(stem)_\(count)")
  }

  mutating func real(_ range: ClosedRange<Float>) -> Float { Float.random(in: range, using: &random) }
  mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

  mutating func input(_ shape: [Int]) -> Value {
    let value = Value("x\(graph.inputs.count)", type: .tensor(.float32, shape))
    graph.inputs.append(Graph.Port(value))
    return value
  }

  func output(_ value: Value) { graph.outputs.append(Graph.Port(value, info: ValueInfo(type: .tensor(.float32, nil)))) }

  mutating func constant(_ stem: String, _ tensor: Tensor) -> Value {
    let name = fresh(stem).name
    return graph.addInitializer(named: name, tensor)
  }

  mutating func node(_ opType: String, _ inputs: [Value?], _ attributes: [Attribute] = []) -> Value {
    let output = fresh(opType.lowercased())
    graph.append(Node(opType, name: "\(opType)_\(count)", inputs: inputs, outputs: [output], attributes: attributes))
    return output
  }

  /// Scale and zero point constants of an activation.
  mutating func parameters(scale: Float, zero: Int, _ type: ElementType) -> [Value] {
    let zeroTensor: Tensor
    switch type {
    case .int8: zeroTensor = Tensor([Int8(clamping: zero)], shape: [])
    case .int16: zeroTensor = Tensor([Int16(clamping: zero)], shape: [])
    case .uint16: zeroTensor = Tensor([UInt16(clamping: zero)], shape: [])
    default: zeroTensor = Tensor([UInt8(clamping: zero)], shape: [])
    }
    return [constant("scale", Tensor(scalar: scale)), constant("zero", zeroTensor)]
  }

  mutating func quantize(_ value: Value, _ parameters: [Value]) -> Value {
    node("QuantizeLinear", [value] + parameters)
  }
  mutating func dequantize(_ value: Value, _ parameters: [Value]) -> Value {
    node("DequantizeLinear", [value] + parameters)
  }

  mutating func randomParameters(_ scale: ClosedRange<Float> = 0.01...0.05) -> [Value] {
    let isSigned = int(0...1) == 0
    let s = real(scale)
    let zero = isSigned ? int(-40...40) : int(60...200)
    return parameters(scale: s, zero: zero, isSigned ? .int8 : .uint8)
  }

  /// Q and DQ with random parameters.
  mutating func pair(_ value: Value, _ scale: ClosedRange<Float> = 0.01...0.05) -> Value {
    let p = randomParameters(scale)
    return dequantize(quantize(value, p), p)
  }

  /// Q and DQ in 16 bits over about `range` on either side of zero.
  mutating func pair16(_ value: Value, range: Float = 3) -> Value {
    let isSigned = int(0...1) == 0
    let zero = isSigned ? int(-9000...9000) : int(25000...40000)
    let p = parameters(scale: range / 32768 * real(1...1.4), zero: zero, isSigned ? .int16 : .uint16)
    return dequantize(quantize(value, p), p)
  }

  /// Random 16-bit weights; unsigned ones have one scale and a zero point.
  mutating func weights16(_ shape: [Int], axis: Int = 0, isSigned: Bool, scale: Float = 2e-5) -> Value {
    let count = shape.reduce(1, *)
    guard isSigned else {
      let values = (0..<count).map { _ in UInt16(clamping: int(0...65535)) }
      let p = parameters(scale: scale, zero: int(30000...36000), .uint16)
      return node("DequantizeLinear", [constant("weight", Tensor(values, shape: shape))] + p)
    }
    let values = (0..<count).map { _ in Int16(clamping: int(-32768...32767)) }
    let scales = (0..<shape[axis]).map { _ in scale * real(0.5...2) }
    return node(
      "DequantizeLinear",
      [constant("weight", Tensor(values, shape: shape)), constant("scale", Tensor(scales, shape: [shape[axis]]))],
      [Attribute("axis", int: axis)])
  }

  /// Random int8 weights behind a DequantizeLinear with a scale for each index of `axis`.
  mutating func weights(_ shape: [Int], axis: Int = 0, scale: ClosedRange<Float> = 0.002...0.01) -> Value {
    let values = (0..<shape.reduce(1, *)).map { _ in Int8(clamping: int(-127...127)) }
    let scales = (0..<shape[axis]).map { _ in real(scale) }
    return node(
      "DequantizeLinear",
      [
        constant("weight", Tensor(values, shape: shape)), constant("scale", Tensor(scales, shape: [shape[axis]])),
        constant("zero", Tensor([Int8](repeating: 0, count: shape[axis]), shape: [shape[axis]])),
      ], [Attribute("axis", int: axis)])
  }

  mutating func bias(_ count: Int) -> Value {
    let values = (0..<count).map { _ in real(-1...1) }
    return constant("bias", Tensor(values, shape: [count]))
  }

  func model(opset: Int = 17) -> Model {
    let model = Model(graph: graph)
    model.irVersion = opset > 20 ? 10 : 9
    model.setOpset(opset)
    model.setOpset(1, domain: "com.microsoft")
    return model
  }
}

extension Value {
  /// The scale of the QuantizeLinear that reads this value.
  func quantizationScale(in graph: Graph) -> Float? {
    guard let node = consumers.first(where: { $0.opType == "QuantizeLinear" }), let scale = node.input(1) else {
      return nil
    }
    return try? graph.initializer(for: scale)?.tensor().floats?.first
  }
}
