import FloatKernels
import ONNXTensor

/// Broadcast arithmetic over any number of tensors of one type, from the left.
protocol VariadicArithmetic: Operator {
  associatedtype Step: BinaryArithmetic
}

extension VariadicArithmetic {
  static func reduce(_ inputs: TensorInputs, _ context: EvaluationContext) throws -> Tensor {
    let tensors = try (0..<inputs.count).map { try inputs[$0] }
    guard var result = tensors.first else { throw OperatorError("there are no inputs") }
    let isShort = result.elementType == .float16 || result.elementType == .bfloat16
    try requireSameType(tensors)
    if isShort { result = result.widened(pool: context.pool) }
    for next in tensors.dropFirst() { result = try Step.map(result, next.widened(pool: context.pool), context) }
    return result
  }

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      try reduce(inputs, context).narrowed(to: inputs[0].elementType, pool: context.pool)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.broadcast(inputs)
  }

  package static var quantization: QuantizationTraits { .elementwise }
}

/// The largest of the inputs, element by element; NaN if any is. Opsets 1–13.
package enum Max: VariadicArithmetic {
  enum Step: BinaryArithmetic {
    static var kernel: BinaryFunction? { .max }
    static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { max(a, b) }
    static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a.isNaN ? a : b.isNaN ? b : max(a, b) }
  }
}

/// The smallest of the inputs, element by element; NaN if any is. Opsets 1–13.
package enum Min: VariadicArithmetic {
  enum Step: BinaryArithmetic {
    static var kernel: BinaryFunction? { .min }
    static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { min(a, b) }
    static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a.isNaN ? a : b.isNaN ? b : min(a, b) }
  }
}

/// The sum of the inputs, element by element. Opsets 1–13.
package enum Sum: VariadicArithmetic {
  typealias Step = Add
}

/// The mean of the inputs, element by element: their sum divided by their number. Opsets 1–13.
package enum Mean: VariadicArithmetic {
  typealias Step = Add

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let sum = try reduce(inputs, context)
      let count =
        sum.elementType == .float64 ? Tensor(scalar: Double(inputs.count)) : Tensor(scalar: Float(inputs.count))
      return try Div.map(sum, count, context).narrowed(to: inputs[0].elementType, pool: context.pool)
    }
  }
}
