import FloatKernels
import ONNXTensor

/// (x - zero point) * scale: per tensor, per axis or per block. Opsets 10–28.
///
/// The result has the scale's type unless `output_dtype` names another; the product is computed in float32 and rounded.
package enum DequantizeLinear: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 1)
    let blockSize = try node.int("block_size", default: 0)
    let declared = try outputType(node)
    return .tensors { inputs, context in
      let (x, scale) = (try inputs[0], try inputs[1])
      let zero = try inputs.optional(2)
      if let zero {
        try requireSameType([x, zero])
        guard zero.shape == scale.shape || zero.count == scale.count else {
          throw OperatorError("scale of shape \(scale.shape), zero point of shape \(zero.shape)")
        }
      }
      let layout = try QuantizationLayout(shape: x.shape, scale: scale, axis: axis, blockSize: blockSize)
      let type = declared ?? scale.elementType
      let result = try fast(x, scale, zero, layout, context) ?? general(x, scale, zero, layout)
      return try ElementCast().apply(result, to: type, pool: context.pool)
    }
  }

  private static func outputType(_ node: OperatorNode) throws -> ElementType? {
    try node.int("output_dtype", default: 0) == 0 ? nil : node.elementType("output_dtype")
  }

  private static func fast(
    _ x: Tensor, _ scale: Tensor, _ zero: Tensor?, _ layout: QuantizationLayout, _ context: EvaluationContext
  ) throws -> Tensor? {
    guard scale.elementType == .float32, layout.block == nil else { return nil }
    func run<Q: QuantizedElement & TensorElement>(_: Q.Type) throws -> Tensor {
      let zeros = try zero?.integers("the zero point").map(Int32.init)
      return try x.withElements(Q.self) { source in
        try scale.withElements(Float.self) { scales in
          try Tensor(of: Float.self, shape: x.shape, pool: context.pool) { out in
            if let zeros {
              try zeros.withUnsafeBufferPointer {
                try context.floatKernels.dequantize(
                  outer: layout.outer, channels: layout.channels, inner: layout.inner, source, scale: scales,
                  zeroPoint: $0, into: out)
              }
            } else {
              try context.floatKernels.dequantize(
                outer: layout.outer, channels: layout.channels, inner: layout.inner, source, scale: scales,
                zeroPoint: nil, into: out)
            }
          }
        }
      }
    }
    switch x.elementType {
    case .int8: return try run(Int8.self)
    case .uint8: return try run(UInt8.self)
    case .int16: return try run(Int16.self)
    case .uint16: return try run(UInt16.self)
    default: return nil
    }
  }

  private static func general(
    _ x: Tensor, _ scale: Tensor, _ zero: Tensor?, _ layout: QuantizationLayout
  ) throws -> Tensor {
    guard let scales = scale.floats else { throw unsupported(scale.elementType) }
    return try Tensor(of: Float.self, shape: x.shape) { out in
      if let codes = x.integers {
        let zeros = zero?.integers
        layout.forEach { element, index in
          out[element] = Float(codes[element] &- (zeros?[index] ?? 0)) * scales[index]
        }
      } else if let values = x.floats {
        let zeros = zero?.floats
        layout.forEach { element, index in
          out[element] = (values[element] - (zeros?[index] ?? 0)) * scales[index]
        }
      } else {
        throw unsupported(x.elementType)
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let scale = ShapeInference.input(inputs, 1)?.elementType
    guard let type = try outputType(node) ?? scale else {
      return [.tensor(nil, dimensions: ShapeInference.input(inputs, 0)?.dimensions)]
    }
    return ShapeInference.same(inputs, as: type)
  }
}
