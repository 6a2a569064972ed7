import ONNXTensor

/// The indices of non-zero elements, one column each, in row-major order. Opsets 9–13.
package enum NonZero: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, _ in
      let x = try inputs[0]
      let positions = try Positions()(x)
      let strides = ShapeArithmetic.strides(x.shape)
      var result: [Int64] = []
      for axis in x.shape.indices {
        result += positions.map { Int64($0 / strides[axis] % max(x.shape[axis], 1)) }
      }
      return Tensor(result, shape: [x.rank, positions.count])
    }
  }

  private struct Positions: NumericVisitor {
    func visit<T: TensorElement & Comparable & Numeric>(_ type: T.Type, _ x: Tensor) -> [Int] {
      x.withElements(T.self) { source in source.indices.filter { source[$0] != 0 } }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let rank = ShapeInference.input(inputs, 0)?.rank
    return [.tensor(.int64, dimensions: [rank.map { .known($0) } ?? .unknown, .unknown])]
  }
}
