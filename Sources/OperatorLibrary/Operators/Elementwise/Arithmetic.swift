import FloatKernels

/// Addition. Opsets 1–14; integers wrap.
package enum Add: BinaryArithmetic {
  static var kernel: BinaryFunction? { .add }
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &+ b }
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a + b }
}

/// Subtraction. Opsets 1–14; integers wrap.
package enum Sub: BinaryArithmetic {
  static var kernel: BinaryFunction? { .subtract }
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &- b }
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a - b }
}

/// Multiplication. Opsets 1–14; integers wrap.
package enum Mul: BinaryArithmetic {
  static var kernel: BinaryFunction? { .multiply }
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &* b }
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a * b }
}

/// Division, of integers truncated towards zero. Opsets 1–14.
///
/// ONNX leaves integer division by zero undefined: the result is 0 here.
package enum Div: BinaryArithmetic {
  static var kernel: BinaryFunction? { .divide }
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
    b == 0 ? 0 : a.dividedReportingOverflow(by: b).partialValue
  }
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a / b }
}

/// x, or slope times x below zero; the slope is broadcast to x. Opsets 1–16.
package enum PRelu: BinaryArithmetic {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let x = try inputs[0]
      var slope = try inputs[1]
      // Before opset 7 a slope of rank 1 belongs to the channels.
      if node.opset < 7, slope.rank == 1, slope.count > 1, x.rank > 2, x.shape[1] == slope.count {
        slope = slope.reshaped([slope.count] + Array(repeating: 1, count: x.rank - 2))
      }
      guard Broadcasting.isUnidirectional(slope.shape, to: x.shape) else {
        throw OperatorError("slope of shape \(slope.shape) does not broadcast to \(x.shape)")
      }
      return try map(x, slope, context)
    }
  }

  static var kernel: BinaryFunction? { .prelu }
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a < 0 ? a &* b : a }
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a < 0 ? b * a : a }

  /// The slope is a weight.
  package static var quantization: QuantizationTraits { .unary }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}

/// Remainder: of the floored quotient (sign of the divisor), or with `fmod` of the truncated one. Opsets 10–28.
///
/// ONNX leaves integer remainders by zero undefined: the result is 0 here.
package enum Mod: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let truncates = try node.bool("fmod", default: false)
    return .tensors { inputs, context in
      let (a, b) = (try inputs[0], try inputs[1])
      return truncates ? try Truncated.map(a, b, context) : try Floored.map(a, b, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.broadcast(inputs)
  }

  private enum Truncated: BinaryArithmetic {
    static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
      b == 0 ? 0 : a.remainderReportingOverflow(dividingBy: b).partialValue
    }
    static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a.truncatingRemainder(dividingBy: b) }
  }

  private enum Floored: BinaryArithmetic {
    static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T {
      let remainder = Truncated.integer(a, b)
      return remainder != 0 && (remainder < 0) != (b < 0) ? remainder &+ b : remainder
    }
    static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T {
      let remainder = a.truncatingRemainder(dividingBy: b)
      if remainder == 0 { return T(signOf: b, magnitudeOf: 0) }
      if remainder.isNaN || (remainder < 0) == (b < 0) { return remainder }
      return b.isInfinite ? b : remainder + b
    }
  }
}
