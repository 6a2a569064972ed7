import FloatKernels
import ONNXTensor

extension EvaluationContext {
  /// The float kernels on the threads of whoever runs the node.
  var floatKernels: FloatBackend { FloatBackend(pool: threads) }
}

/// A function of one real argument: its definition in float64 and its float32 kernel.
struct RealFunction {
  var kernel: UnaryFunction?
  /// float32 and shorter types round its result where no kernel is named.
  var definition: (Double) -> Double

  init(_ kernel: UnaryFunction? = nil, _ definition: @escaping (Double) -> Double) {
    self.kernel = kernel
    self.definition = definition
  }

  /// Applied to every element of a real tensor; float16 and bfloat16 are computed in float32 and rounded.
  func apply(_ x: Tensor, _ context: EvaluationContext) throws -> Tensor {
    switch x.elementType {
    case .float32:
      return try x.withElements(Float.self) { source in
        try Tensor(of: Float.self, shape: x.shape, pool: context.pool) { out in
          if let kernel {
            try context.floatKernels.apply(kernel, source, into: out)
          } else {
            for index in source.indices { out[index] = Float(definition(Double(source[index]))) }
          }
        }
      }
    case .float64:
      return x.withElements(Double.self) { source in
        Tensor(of: Double.self, shape: x.shape, pool: context.pool) { out in
          for index in source.indices { out[index] = definition(source[index]) }
        }
      }
    case .float16, .bfloat16:
      return try apply(x.widened(pool: context.pool), context).narrowed(to: x.elementType, pool: context.pool)
    default: throw unsupported(x.elementType)
    }
  }
}

/// An operator that applies one real function to each element of its input.
protocol RealUnaryOperator: UnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction
}

extension RealUnaryOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let function = try function(node)
    return .tensors { inputs, context in try function.apply(inputs[0], context) }
  }
}

/// An operator whose one output has the type and shape of its one input.
protocol UnaryOperator: Operator {}

extension UnaryOperator {
  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.same(inputs)
  }

  package static var quantization: QuantizationTraits { .unary }
}

/// A function of integers, applied to each element of an integer tensor.
protocol IntegerFunction {
  static func apply<T: FixedWidthInteger>(_ value: T) -> T
}

extension IntegerFunction {
  static func map(_ x: Tensor, _ context: EvaluationContext) throws -> Tensor {
    switch x.elementType {
    case .int8: map(x, Int8.self, context)
    case .uint8: map(x, UInt8.self, context)
    case .int16: map(x, Int16.self, context)
    case .uint16: map(x, UInt16.self, context)
    case .int32: map(x, Int32.self, context)
    case .uint32: map(x, UInt32.self, context)
    case .int64: map(x, Int64.self, context)
    case .uint64: map(x, UInt64.self, context)
    default: throw unsupported(x.elementType)
    }
  }

  private static func map<T: FixedWidthInteger & TensorElement>(
    _ x: Tensor, _: T.Type, _ context: EvaluationContext
  ) -> Tensor {
    x.withElements(T.self) { source in
      Tensor(of: T.self, shape: x.shape, pool: context.pool) { out in
        for index in source.indices { out[index] = apply(source[index]) }
      }
    }
  }
}
