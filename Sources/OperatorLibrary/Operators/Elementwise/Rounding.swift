import FloatKernels
import ONNXTensor

/// An operator on real numbers and integers alike.
protocol NumericUnaryOperator: UnaryOperator, IntegerFunction {
  static var real: RealFunction { get }
}

extension NumericUnaryOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let real = real
    return .tensors { inputs, context in
      let x = try inputs[0]
      return x.elementType.isFloatingPoint ? try real.apply(x, context) : try map(x, context)
    }
  }
}

/// Absolute value; the lowest integer stays as it is. Opsets 1–13.
package enum Abs: NumericUnaryOperator {
  static var real: RealFunction { RealFunction(.abs) { $0.magnitude } }
  static func apply<T: FixedWidthInteger>(_ value: T) -> T { value < 0 ? 0 &- value : value }
}

/// Negation. Opsets 1–13.
package enum Neg: NumericUnaryOperator {
  static var real: RealFunction { RealFunction(.negate) { -$0 } }
  static func apply<T: FixedWidthInteger>(_ value: T) -> T { 0 &- value }
}

/// -1, 0 or 1 by the sign. Opsets 9–13.
package enum Sign: NumericUnaryOperator {
  static var real: RealFunction { RealFunction(.sign) { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 } }
  static func apply<T: FixedWidthInteger>(_ value: T) -> T { value > 0 ? 1 : value < 0 ? 0 &- 1 : 0 }
}

/// Rounds down. Opsets 1–13.
package enum Floor: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.floor) { $0.rounded(.down) } }
}

/// Rounds up. Opsets 1–13.
package enum Ceil: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.ceil) { $0.rounded(.up) } }
}

/// Rounds to the nearest integer, half to even. Opsets 11–22.
package enum Round: RealUnaryOperator {
  static func function(_ node: OperatorNode) -> RealFunction { RealFunction(.round) { $0.rounded(.toNearestOrEven) } }
}
