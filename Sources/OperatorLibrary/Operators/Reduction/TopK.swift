import ONNXTensor

/// The k largest (or smallest) elements on `axis` with their indices, in order; equals by rising index. Opsets 1–24.
///
/// The order is kept even where `sorted` is 0, which leaves it open.
package enum TopK: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: -1)
    let attribute = node.opset < 10 ? try node.int("k") : nil
    let takesLargest = try node.bool("largest", default: true)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      let axis = try ShapeArithmetic.axis(axis, rank: x.rank)
      let k = try attribute ?? inputs[1].integer("K")
      guard k >= 0, k <= x.shape[axis] else { throw OperatorError("K is \(k), axis \(axis) has \(x.shape[axis])") }
      let positions = try Selection(axis: axis, k: k, takesLargest: takesLargest)(x)
      var shape = x.shape
      shape[axis] = k
      let (_, count, inner) = ShapeArithmetic.split(x.shape, at: axis)
      let indices = positions.map { Int64($0 / inner % count) }
      let best = try DenseElements.apply(x) { x in
        Tensor(x.elementType, shape: shape, pool: context.pool) { out in
          let size = x.elementBytes
          x.withBytes { source in
            for (index, position) in positions.enumerated() {
              for byte in 0..<size { out[index * size + byte] = source[position * size + byte] }
            }
          }
        }
      }
      return [.tensor(best), .tensor(Tensor(indices, shape: shape))]
    }
  }

  /// Positions of the chosen elements in the input, in the layout of the result.
  private struct Selection: NumericVisitor {
    let axis: Int
    let k: Int
    let takesLargest: Bool

    func visit<T: TensorElement & Comparable & Numeric>(_ type: T.Type, _ x: Tensor) -> [Int] {
      let (outer, count, inner) = ShapeArithmetic.split(x.shape, at: axis)
      var result = [Int](repeating: 0, count: outer * k * inner)
      x.withElements(T.self) { source in
        for o in 0..<outer {
          for i in 0..<inner {
            let base = o * count * inner + i
            let order = (0..<count).sorted { a, b in
              let (left, right) = (source[base + a * inner], source[base + b * inner])
              if takesLargest ? isBelow(right, left) : isBelow(left, right) { return true }
              if takesLargest ? isBelow(left, right) : isBelow(right, left) { return false }
              return a < b
            }
            for n in 0..<k { result[(o * k + n) * inner + i] = base + order[n] * inner }
          }
        }
      }
      return result
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let x = ShapeInference.input(inputs, 0)
    guard var dims = x?.dimensions else {
      return [.tensor(x?.elementType, dimensions: nil), .tensor(.int64, dimensions: nil)]
    }
    let axis = try ShapeArithmetic.axis(node.int("axis", default: -1), rank: dims.count)
    let k = node.opset < 10 ? try node.int("k") : ShapeInference.integers(inputs, 1)?.first
    dims[axis] = k.map { .known($0) } ?? .unknown
    return [.tensor(x?.elementType, dimensions: dims), .tensor(.int64, dimensions: dims)]
  }
}
