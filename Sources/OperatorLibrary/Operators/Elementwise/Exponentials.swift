import Glibc

/// e to the power of each element. Opsets 1–13.
package enum Exp: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.exp) { exp($0) } }
}

/// Natural logarithm. Opsets 1–13.
package enum Log: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.log) { log($0) } }
}

/// Square root; NaN of negative numbers. Opsets 1–13.
package enum Sqrt: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.sqrt) { $0.squareRoot() } }
}

/// One divided by each element. Opsets 1–13.
package enum Reciprocal: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.reciprocal) { 1 / $0 } }
}

/// The error function. Opsets 9–13.
package enum Erf: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.erf) { erf($0) } }
}

/// Logistic function 1 / (1 + exp(-x)). Opsets 1–13.
package enum Sigmoid: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.sigmoid, logistic) }
}

/// Hyperbolic tangent. Opsets 1–13.
package enum Tanh: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.tanh) { tanh($0) } }
}

func logistic(_ x: Double) -> Double {
  if x >= 0 { return 1 / (1 + exp(-x)) }
  let power = exp(x)
  return power / (1 + power)
}

func softplus(_ x: Double) -> Double { max(x, 0) + log1p(exp(-x.magnitude)) }
