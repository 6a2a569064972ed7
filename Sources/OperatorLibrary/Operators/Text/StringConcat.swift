import ONNXTensor

/// Strings of both inputs joined, broadcast. Opset 20.
package enum StringConcat: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, _ in
      let (a, b) = (try inputs[0], try inputs[1])
      guard let x = a.strings, let y = b.strings else { throw OperatorError("the inputs are not strings") }
      let loop = try BroadcastLoop([a.shape, b.shape], result: .string)
      var result: [[UInt8]] = []
      result.reserveCapacity(loop.count)
      loop.forEachRun { _, i, j in
        for k in 0..<loop.inner { result.append(x[i + k * loop.steps[0]] + y[j + k * loop.steps[1]]) }
      }
      return Tensor(strings: result, shape: loop.shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try ShapeInference.broadcast(inputs, as: .string)
  }
}
