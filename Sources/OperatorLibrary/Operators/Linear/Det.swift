import ONNXGraph
import ONNXTensor

/// The determinant of the matrices in the last two axes, by elimination with row pivots. Opsets 11, 22.
enum Det: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let x = try inputs[0]
      guard x.rank >= 2, x.shape[x.rank - 1] == x.shape[x.rank - 2] else {
        throw OperatorError("input 0 of shape \(x.shape) does not hold square matrices")
      }
      return try run(try x.elementType.computeType(), x)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(_ type: T.Type, _ x: Tensor) throws -> Tensor {
    let n = x.shape[x.rank - 1]
    let batch = Array(x.shape.dropLast(2))
    let values = try x.reals(T.self)
    let results = (0..<extent(batch)).map {
      determinant(values[($0 * n * n)..<(($0 + 1) * n * n)].map { Double($0) }, n)
    }
    return try Tensor(reals: results.map { T($0) }, as: x.elementType, shape: batch)
  }

  private static func determinant(_ matrix: [Double], _ n: Int) -> Double {
    var a = matrix
    var result = 1.0
    for column in 0..<n {
      var pivot = column
      for row in column..<n where abs(a[row * n + column]) > abs(a[pivot * n + column]) { pivot = row }
      if a[pivot * n + column] == 0 { return 0 }
      if pivot != column {
        for j in 0..<n { a.swapAt(pivot * n + j, column * n + j) }
        result = -result
      }
      result *= a[column * n + column]
      for row in column + 1..<max(n, column + 1) {
        let factor = a[row * n + column] / a[column * n + column]
        for j in column..<n { a[row * n + j] -= factor * a[column * n + j] }
      }
    }
    return result
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(inputs.elementType(0), extents: inputs.extents(0).map { Array($0.dropLast(2)) })]
  }
}
