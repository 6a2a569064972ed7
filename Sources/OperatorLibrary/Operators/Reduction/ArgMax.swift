import ONNXTensor

/// The index of the largest element on `axis`, the first of equals or (opset 12, `select_last_index`) the last; the first
/// NaN if there is one. Opsets 1–13.
package enum ArgMax: ArgOperator {
  static func isBetter<T: Comparable>(_ a: T, _ b: T) -> Bool { isBelow(b, a) }
}

/// The index of the smallest element on `axis`, as ArgMax; NaN counts as smallest. Opsets 1–13.
package enum ArgMin: ArgOperator {
  static func isBetter<T: Comparable>(_ a: T, _ b: T) -> Bool { a < b || (a != a && b == b) }
}

protocol ArgOperator: Operator {
  static func isBetter<T: Comparable>(_ a: T, _ b: T) -> Bool
}

extension ArgOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 0)
    let keepsDimensions = try node.bool("keepdims", default: true)
    let takesLast = try node.bool("select_last_index", default: false)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      let axis = try ShapeArithmetic.axis(axis, rank: x.rank)
      guard x.shape[axis] > 0 else { throw OperatorError("axis \(axis) of shape \(x.shape) is empty") }
      var shape = x.shape
      if keepsDimensions { shape[axis] = 1 } else { shape.remove(at: axis) }
      return Tensor(try ArgSearch<Self>(axis: axis, takesLast: takesLast)(x), shape: shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard var dims = ShapeInference.input(inputs, 0)?.dimensions else { return [.tensor(.int64, dimensions: nil)] }
    let axis = try ShapeArithmetic.axis(node.int("axis", default: 0), rank: dims.count)
    if try node.bool("keepdims", default: true) { dims[axis] = .known(1) } else { dims.remove(at: axis) }
    return [.tensor(.int64, dimensions: dims)]
  }
}

private struct ArgSearch<Order: ArgOperator>: NumericVisitor {
  let axis: Int
  let takesLast: Bool

  func visit<T: TensorElement & Comparable & Numeric>(_ type: T.Type, _ x: Tensor) -> [Int64] {
    let (outer, count, inner) = ShapeArithmetic.split(x.shape, at: axis)
    var result = [Int64](repeating: 0, count: outer * inner)
    x.withElements(T.self) { source in
      for o in 0..<outer {
        for i in 0..<inner {
          let base = o * count * inner + i
          var best = source[base]
          var index = 0
          for n in 1..<max(count, 1) {
            let value = source[base + n * inner]
            if Order.isBetter(value, best) || (takesLast && !Order.isBetter(best, value)) {
              best = value
              index = n
            }
          }
          result[o * inner + i] = Int64(index)
        }
      }
    }
    return result
  }
}
