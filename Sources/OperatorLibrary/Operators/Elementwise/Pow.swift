import Glibc
import ONNXTensor

/// The first operand to the power of the second, in the first one's type. Opsets 1–15; from opset 12 on the exponent's
/// type is free.
///
/// Floats are computed in float64 and rounded; exponents 1, 2 and 0.5 by product and square root. Integer bases
/// with integer exponents wrap; negative exponents give the truncated quotient.
package enum Pow: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let legacy = try LegacyBroadcast(node)
    return .tensors { inputs, context in
      let base = try inputs[0]
      return try raise(base, legacy.align(inputs[1], to: base), context)
    }
  }

  private static func raise(_ base: Tensor, _ exponent: Tensor, _ context: EvaluationContext) throws -> Tensor {
    switch base.elementType {
    case .float32:
      let exponent = try ElementCast().apply(exponent, to: exponent.elementType == .float64 ? .float64 : .float32)
      if exponent.elementType == .float64 { break }
      if exponent.count == 1, exponent.rank <= base.rank, let power = exponent.floats?.first {
        if power == 1 { return base }
        if power == 2 { return try Mul.map(base, base, context) }
        if power == 0.5 { return try RealFunction(.sqrt) { $0.squareRoot() }.apply(base, context) }
      }
      return try BinaryKernel.map(base, exponent, Float.self, context) { Float(pow(Double($0), Double($1))) }
    case .float16, .bfloat16:
      return try raise(base.widened(), exponent, context).narrowed(to: base.elementType, pool: context.pool)
    case .int32, .int64, .int8, .int16, .uint8, .uint16, .uint32, .uint64:
      if exponent.elementType.isInteger {
        let result = try BinaryKernel.map(
          ElementCast().apply(base, to: .int64), ElementCast().apply(exponent, to: .int64), Int64.self, context, integer
        )
        return try ElementCast().apply(result, to: base.elementType)
      }
    case .float64: break
    default: throw unsupported(base.elementType)
    }
    let result = try BinaryKernel.map(
      ElementCast().apply(base, to: .float64), ElementCast().apply(exponent, to: .float64), Double.self, context
    ) { pow($0, $1) }
    return try ElementCast().apply(result, to: base.elementType)
  }

  private static func integer(_ base: Int64, _ exponent: Int64) -> Int64 {
    if exponent < 0 { return base == 1 ? 1 : base == -1 ? (exponent & 1 == 0 ? 1 : -1) : 0 }
    var (result, factor, rest): (Int64, Int64, Int64) = (1, base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result = result &* factor }
      factor = factor &* factor
      rest >>= 1
    }
    return result
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    return node.opset < 7
      ? ShapeInference.same(inputs)
      : try ShapeInference.broadcast(inputs, as: ShapeInference.input(inputs, 0)?.elementType)
  }

  package static var quantization: QuantizationTraits { .unary }
}
