import Glibc

/// Sine of angles in radians. Opsets 7–22. Evaluated in float64 and rounded, as all operators of this file.
package enum Sin: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { sin($0) } }
}

/// Cosine. Opsets 7–22.
package enum Cos: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { cos($0) } }
}

/// Tangent. Opsets 7–22.
package enum Tan: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { tan($0) } }
}

/// Inverse sine. Opsets 7–22.
package enum Asin: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { asin($0) } }
}

/// Inverse cosine. Opsets 7–22.
package enum Acos: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { acos($0) } }
}

/// Inverse tangent. Opsets 7–22.
package enum Atan: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { atan($0) } }
}

/// Hyperbolic sine. Opsets 9–22.
package enum Sinh: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { sinh($0) } }
}

/// Hyperbolic cosine. Opsets 9–22.
package enum Cosh: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { cosh($0) } }
}

/// Inverse hyperbolic sine. Opsets 9–22.
package enum Asinh: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { asinh($0) } }
}

/// Inverse hyperbolic cosine. Opsets 9–22.
package enum Acosh: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { acosh($0) } }
}

/// Inverse hyperbolic tangent. Opsets 9–22.
package enum Atanh: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction { atanh($0) } }
}
