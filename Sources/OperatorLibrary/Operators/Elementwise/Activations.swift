import FloatKernels
import Glibc

/// max(0, x) of real and (opset 14) signed integer elements. Opsets 1–14.
package enum Relu: UnaryOperator, IntegerFunction {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let real = RealFunction(.relu) { $0 < 0 ? 0 : $0 }
    return .tensors { inputs, context in
      let x = try inputs[0]
      return x.elementType.isFloatingPoint ? try real.apply(x, context) : try map(x, context)
    }
  }

  static func apply<T: FixedWidthInteger>(_ value: T) -> T { max(value, 0) }

  package static var quantization: QuantizationTraits { .activation }
}

/// x, or alpha x below zero. Opsets 1–16.
package enum LeakyRelu: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: 0.01)
    return RealFunction(.leakyRelu(alpha)) { $0 < 0 ? Double(alpha) * $0 : $0 }
  }

  package static var quantization: QuantizationTraits { .activation }
}

/// x above alpha, else 0. Opsets 10–22.
package enum ThresholdedRelu: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: 1)
    return RealFunction(.thresholdedRelu(alpha)) { $0 > Double(alpha) ? $0 : 0 }
  }
}

/// x, or alpha (exp(x) - 1) below zero. Opsets 1–22.
package enum Elu: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: 1)
    return RealFunction(.elu(alpha)) { $0 < 0 ? Double(alpha) * expm1($0) : $0 }
  }
}

/// gamma times (x, or alpha (exp(x) - 1) below zero). Opsets 1–22; the defaults of opset 1 were shorter numbers.
package enum Selu: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: node.opset < 6 ? 1.6732 : 1.673_263_192_176_818_8)
    let gamma = try node.float("gamma", default: node.opset < 6 ? 1.0507 : 1.050_701_022_148_132_3)
    return RealFunction(.selu(alpha: alpha, gamma: gamma)) {
      Double(gamma) * ($0 < 0 ? Double(alpha) * expm1($0) : $0)
    }
  }
}

/// max(0, x) + min(0, alpha (exp(x / alpha) - 1)). Opsets 12–28.
package enum Celu: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: 1)
    return RealFunction(.celu(alpha)) { $0 < 0 ? Double(alpha) * expm1($0 / Double(alpha)) : $0 }
  }
}

/// alpha x + beta clipped to [0, 1]. Opsets 1–22.
package enum HardSigmoid: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: 0.2)
    let beta = try node.float("beta", default: 0.5)
    return RealFunction(.hardSigmoid(alpha: alpha, beta: beta)) {
      $0.isNaN ? $0 : min(max(Double(alpha) * $0 + Double(beta), 0), 1)
    }
  }
}

/// x times HardSigmoid with alpha 1/6, beta 1/2. Opsets 14–22.
package enum HardSwish: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction {
    RealFunction(.hardSwish) { $0.isNaN ? $0 : $0 * min(max($0 / 6 + 0.5, 0), 1) }
  }
}

/// x sigmoid(alpha x). Opset 24.
package enum Swish: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    let alpha = try node.float("alpha", default: 1)
    return RealFunction(.swish(alpha)) { $0 * logistic(Double(alpha) * $0) }
  }
}

/// Gaussian error linear unit, exact or (`approximate` = "tanh") by its tanh form. Opset 20.
package enum Gelu: RealUnaryOperator {
  static func function(_ node: OperatorNode) throws -> RealFunction {
    switch try node.string("approximate", default: "none") {
    case "none": RealFunction(.gelu) { 0.5 * $0 * (1 + erf($0 * 0.5.squareRoot())) }
    case "tanh":
      RealFunction(.geluTanh) { 0.5 * $0 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }
    case let other: throw OperatorError("attribute 'approximate' is '\(other)', it must be 'none' or 'tanh'")
    }
  }
}

/// x tanh(softplus(x)). Opsets 18–22.
package enum Mish: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.mish) { $0 * tanh(softplus($0)) } }
}

/// log(1 + exp(x)). Opsets 1–22.
package enum Softplus: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction {
    RealFunction(.softplus) { $0.isNaN ? $0 : softplus($0) }
  }
}

/// x / (1 + |x|). Opsets 1–22.
package enum Softsign: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.softsign) { $0 / (1 + $0.magnitude) } }
}

/// x + bias below -lambd, x - bias above lambd, 0 between. Opset 9.
package enum Shrink: UnaryOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let lambd = Double(try node.float("lambd", default: 0.5))
    let bias = Double(try node.float("bias", default: 0))
    let function = RealFunction { $0 < -lambd ? $0 + bias : $0 > lambd ? $0 - bias : 0 }
    return .tensors { inputs, context in
      let x = try inputs[0]
      if x.elementType.isFloatingPoint { return try function.apply(x, context) }
      // Integers as numpy does it: computed as real numbers, then cast.
      let values = try ElementCast().apply(x, to: .float64)
      guard x.elementType.isInteger else { throw unsupported(x.elementType) }
      return try ElementCast().apply(try function.apply(values, context), to: x.elementType)
    }
  }
}
