import ONNXTensor

/// The dimensions of the input from `start` to `end` as int64. Opsets 1–25.
package enum Shape: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let start = try node.int("start", default: 0)
    let end = try node.int("end")
    return .tensors { inputs, _ in
      let shape = try inputs[0].shape
      let part = shape[range(start, end, rank: shape.count)].map(Int64.init)
      return Tensor(part, shape: [part.count])
    }
  }

  private static func range(_ start: Int, _ end: Int?, rank: Int) -> Range<Int> {
    func clamp(_ index: Int) -> Int {
      let index = index.clamped(to: -rank - 1...rank)
      return max(0, index < 0 ? index + rank : index)
    }
    let first = clamp(start)
    return first..<max(first, clamp(end ?? rank))
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let dims = ShapeInference.input(inputs, 0)?.dimensions else {
      return [.tensor(.int64, dimensions: [.unknown])]
    }
    let part = dims[range(try node.int("start", default: 0), try node.int("end"), rank: dims.count)]
    let known = part.compactMap { $0.known.map(Int64.init) }
    let isKnown = known.count == part.count
    return [
      InferredValue(
        .tensor(.int64, [part.count]), constant: isKnown ? Tensor(known, shape: [known.count]) : nil)
    ]
  }
}

/// The number of elements as an int64 scalar. Opsets 1–25.
package enum Size: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, _ in Tensor(scalar: Int64(try inputs[0].count)) }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let count = ShapeInference.input(inputs, 0)?.dimensions.flatMap { ShapeInference.product($0).known }
    return [InferredValue(.tensor(.int64, []), constant: count.map { Tensor(scalar: Int64($0)) })]
  }
}
