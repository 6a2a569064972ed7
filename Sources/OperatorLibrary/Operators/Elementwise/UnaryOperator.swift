package import ONNXTensor

/// A function of one real argument with its parameters.
struct UnaryFunction {
  /// The definition, evaluated in float64. float32 and shorter types round its result where no kernel is named.
  var real: (Double) -> Double
  /// The float32 kernel.
  var kernel: UnaryKernel?

  init(_ kernel: UnaryKernel? = nil, real: @escaping (Double) -> Double) {
    self.kernel = kernel
    self.real = real
  }

  func apply(_ x: Tensor, _ context: EvaluationContext) throws -> Tensor {
    switch x.elementType {
    case .float32:
      if let kernel { return kernel.apply(x, context) }
      return x.withElements(Float.self) { source in
        Tensor(of: Float.self, shape: x.shape, pool: context.pool) { out in
          for index in source.indices { out[index] = Float(real(Double(source[index]))) }
        }
      }
    case .float64:
      return x.withElements(Double.self) { source in
        Tensor(of: Double.self, shape: x.shape, pool: context.pool) { out in
          for index in source.indices { out[index] = real(source[index]) }
        }
      }
    case .float16, .bfloat16:
      return try apply(x.widened(pool: context.pool), context).narrowed(to: x.elementType, pool: context.pool)
    default: throw unsupported(x.elementType)
    }
  }
}

/// An operator that applies one real function to each element.
///
/// float16 and bfloat16 are computed in float32 and rounded.
package protocol UnaryOperator: Operator {
  static func apply(_ node: OperatorNode) throws -> (Tensor, EvaluationContext) throws -> Tensor
}

extension UnaryOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let function = try apply(node)
    return .tensors { inputs, context in try function(inputs[0], context) }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.same(inputs)
  }

  package static var quantization: QuantizationTraits { .unary }
}
