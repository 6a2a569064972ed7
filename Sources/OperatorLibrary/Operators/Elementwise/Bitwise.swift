import ONNXTensor

/// Broadcast arithmetic that only integers have.
protocol IntegerBinaryOperator: BinaryArithmetic {}

extension IntegerBinaryOperator {
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a }

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let a = try inputs[0]
      guard a.elementType.isInteger else { throw unsupported(a.elementType) }
      return try map(a, inputs[1], context)
    }
  }

  package static var quantization: QuantizationTraits { .none }
}

/// Bitwise and. Opset 18.
package enum BitwiseAnd: IntegerBinaryOperator {
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a & b }
}

/// Bitwise or. Opset 18.
package enum BitwiseOr: IntegerBinaryOperator {
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a | b }
}

/// Bitwise exclusive or. Opset 18.
package enum BitwiseXor: IntegerBinaryOperator {
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a ^ b }
}

/// All bits inverted. Opset 18.
package enum BitwiseNot: UnaryOperator, IntegerFunction {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in try map(inputs[0], context) }
  }

  static func apply<T: FixedWidthInteger>(_ value: T) -> T { ~value }
  package static var quantization: QuantizationTraits { .none }
}

/// Shift left or right; past the width, or by negative amounts, only copies of the sign (0 for left shifts) remain.
/// Opsets 11–28.
package enum BitShift: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let direction = try node.string("direction", default: "")
    guard direction == "LEFT" || direction == "RIGHT" else {
      throw OperatorError("attribute 'direction' is '\(direction)', it must be 'LEFT' or 'RIGHT'")
    }
    return .tensors { inputs, context in
      let (a, b) = (try inputs[0], try inputs[1])
      guard a.elementType.isInteger else { throw unsupported(a.elementType) }
      return direction == "LEFT" ? try Left.map(a, b, context) : try Right.map(a, b, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.broadcast(inputs)
  }

  private enum Left: IntegerBinaryOperator {
    static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { b < 0 ? 0 : a << b }
  }

  private enum Right: IntegerBinaryOperator {
    static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { b < 0 ? a >> T.bitWidth : a >> b }
  }
}
