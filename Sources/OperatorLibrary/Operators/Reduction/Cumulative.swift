import ONNXTensor

/// Running sums along an axis. Opsets 11–14.
package enum CumSum: CumulativeOperator {
  static func neutral<T: Numeric>() -> T { 0 }
  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &+ b }
  static func combine<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a + b }
}

/// Running products along an axis. Opset 26.
package enum CumProd: CumulativeOperator {
  static func neutral<T: Numeric>() -> T { 1 }
  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T { a &* b }
  static func combine<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T { a * b }
}

/// `exclusive` leaves the own element out, `reverse` runs from the end. float16 and bfloat16 are kept in float32 while
/// running.
protocol CumulativeOperator: UnaryOperator {
  static func neutral<T: Numeric>() -> T
  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T
  static func combine<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T
}

extension CumulativeOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isExclusive = try node.bool("exclusive", default: false)
    let isReverse = try node.bool("reverse", default: false)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let axis = try ShapeArithmetic.axis(inputs[1].integer("axis"), rank: x.rank)
      func scan<T: TensorElement & Numeric>(_ x: Tensor, _: T.Type, _ op: (T, T) -> T) -> Tensor {
        let (outer, count, inner) = ShapeArithmetic.split(x.shape, at: axis)
        return x.withElements(T.self) { source in
          Tensor(of: T.self, shape: x.shape, pool: context.pool) { out in
            for o in 0..<outer {
              for i in 0..<inner {
                var sum: T = neutral()
                for n in 0..<count {
                  let index = (o * count + (isReverse ? count - 1 - n : n)) * inner + i
                  let next = op(sum, source[index])
                  out[index] = isExclusive ? sum : next
                  sum = next
                }
              }
            }
          }
        }
      }
      switch x.elementType {
      case .float32: return scan(x, Float.self) { combine($0, $1) }
      case .float64: return scan(x, Double.self) { combine($0, $1) }
      case .float16, .bfloat16:
        return scan(x.widened(), Float.self) { combine($0, $1) }.narrowed(to: x.elementType)
      case .int32: return scan(x, Int32.self) { combine($0, $1) }
      case .int64: return scan(x, Int64.self) { combine($0, $1) }
      case .uint32: return scan(x, UInt32.self) { combine($0, $1) }
      case .uint64: return scan(x, UInt64.self) { combine($0, $1) }
      default: throw unsupported(x.elementType)
      }
    }
  }
}
