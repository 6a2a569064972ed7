import ONNXTensor

/// Ones on diagonal k of a matrix of the input's shape. Opsets 9–22.
package enum EyeLike: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let type = try node.elementType("dtype")
    let k = try node.int("k", default: 0)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard x.rank == 2 else { throw OperatorError("the input has rank \(x.rank), it must be a matrix") }
      try ShapeArithmetic.check(x.shape, .float64)
      let (rows, columns) = (x.shape[0], x.shape[1])
      var codes = [UInt8](repeating: 0, count: rows * columns)
      for row in 0..<rows {
        let (column, overflow) = row.addingReportingOverflow(k)
        if !overflow, column >= 0, column < columns { codes[row * columns + column] = 1 }
      }
      return try ElementCast().apply(Tensor(codes, shape: x.shape), to: type ?? x.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: try node.elementType("dtype"))
  }
}
