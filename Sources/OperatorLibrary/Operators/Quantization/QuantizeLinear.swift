import FloatKernels
import ONNXTensor

/// saturate(round_half_even(x / scale) + zero point): per tensor, per axis or per block, to integers of 2 to 16 bits or
/// floats of 4 to 8 bits. Opsets 10–28.
///
/// The division is done in the scale's precision, or in `precision`: float16 and bfloat16 quotients are rounded to
/// their type. A scale of float8e8m0 or int32 divides in float32.
package enum QuantizeLinear: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 1)
    let blockSize = try node.int("block_size", default: 0)
    let saturates = try node.bool("saturate", default: true)
    let declared = try outputType(node)
    let precision = try node.int("precision", default: 0) == 0 ? nil : node.elementType("precision")
    return .tensors { inputs, context in
      let (x, scale) = (try inputs[0], try inputs[1])
      let zero = try inputs.optional(2)
      if let declared, let zero, zero.elementType != declared {
        throw OperatorError("'output_dtype' is \(declared.name), the zero point \(zero.elementType.name)")
      }
      let type = zero?.elementType ?? declared ?? .uint8
      if let zero, zero.shape != scale.shape, zero.count != scale.count {
        throw OperatorError("scale of shape \(scale.shape), zero point of shape \(zero.shape)")
      }
      let layout = try QuantizationLayout(shape: x.shape, scale: scale, axis: axis, blockSize: blockSize)
      let step = precision ?? scale.elementType
      if x.elementType == .float32, step == .float32, scale.elementType == .float32, layout.block == nil {
        if let result = try fast(x, scale, zero, type, layout, context) { return result }
      }
      return try general(x, scale, zero, type, layout, step, saturates: saturates)
    }
  }

  private static func outputType(_ node: OperatorNode) throws -> ElementType? {
    try node.int("output_dtype", default: 0) == 0 ? nil : node.elementType("output_dtype")
  }

  private static func fast(
    _ x: Tensor, _ scale: Tensor, _ zero: Tensor?, _ type: ElementType, _ layout: QuantizationLayout,
    _ context: EvaluationContext
  ) throws -> Tensor? {
    func run<Q: QuantizedElement & TensorElement>(_: Q.Type) throws -> Tensor {
      let zeros = try zero?.integers("the zero point").map(Int32.init)
      return try x.withElements(Float.self) { source in
        try scale.withElements(Float.self) { scales in
          try Tensor(of: Q.self, shape: x.shape, pool: context.pool) { out in
            if let zeros {
              try zeros.withUnsafeBufferPointer {
                try context.floatKernels.quantize(
                  outer: layout.outer, channels: layout.channels, inner: layout.inner, source, scale: scales,
                  zeroPoint: $0, into: out)
              }
            } else {
              try context.floatKernels.quantize(
                outer: layout.outer, channels: layout.channels, inner: layout.inner, source, scale: scales,
                zeroPoint: nil, into: out)
            }
          }
        }
      }
    }
    switch type {
    case .int8: return try run(Int8.self)
    case .uint8: return try run(UInt8.self)
    case .int16: return try run(Int16.self)
    case .uint16: return try run(UInt16.self)
    default: return nil
    }
  }

  private static func general(
    _ x: Tensor, _ scale: Tensor, _ zero: Tensor?, _ type: ElementType, _ layout: QuantizationLayout,
    _ step: ElementType, saturates: Bool
  ) throws -> Tensor {
    guard let values = x.floats, let scales = scale.floats else { throw unsupported(x.elementType) }
    var quotients = [Float](repeating: 0, count: values.count)
    if step == .float64 {
      layout.forEach { quotients[$0] = Float(Double(values[$0]) / Double(scales[$1])) }
    } else {
      layout.forEach { quotients[$0] = round(values[$0] / scales[$1], to: step) }
    }
    if let range = type.quantizedRange {
      let zeros = try zero?.integers("the zero point")
      var codes = [Int32](repeating: 0, count: values.count)
      layout.forEach { element, index in
        let zero = zeros?[index] ?? 0
        let value = quotients[element].rounded(.toNearestOrEven)
        // Past 2^20 every type is saturated.
        let whole = value.isNaN ? 0 : Int(min(max(value, -0x1p20), 0x1p20))
        codes[element] = Int32((whole + zero).clamped(to: range))
      }
      return try ElementCast().apply(Tensor(codes, shape: x.shape), to: type)
    }
    guard let format = MinifloatFormat(type) else {
      throw OperatorError("\(type.name) is no type that tensors are quantized to")
    }
    if let zeros = zero?.floats { layout.forEach { quotients[$0] += zeros[$1] } }
    return Tensor(
      codes: quotients.map { format.encode($0, saturating: saturates) }, elementType: type, shape: x.shape)
  }

  private static func round(_ value: Float, to type: ElementType) -> Float {
    switch type {
    case .float16: Float(Float16(value))
    case .bfloat16: BFloat16(value).float
    default: value
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let zero = ShapeInference.input(inputs, 2)?.elementType
    return ShapeInference.same(inputs, as: try zero ?? outputType(node) ?? (node.hasInput(2) ? nil : .uint8))
  }
}
