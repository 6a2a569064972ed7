import ONNXTensor

/// Broadcast to a shape; dimensions of 1 in the shape keep the input's. Opsets 8–13.
package enum Expand: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      try expand(inputs[0], try inputs[1].integers("the shape"), context)
    }
  }

  static func expand(_ x: Tensor, _ target: [Int], _ context: EvaluationContext) throws -> Tensor {
    try ShapeArithmetic.count(target)
    let shape = try Broadcasting.shape([x.shape, target])
    try ShapeArithmetic.check(shape, x.elementType)
    if shape == x.shape { return x }
    let own = ShapeArithmetic.strides(x.shape)
    let missing = shape.count - x.rank
    let strides = shape.indices.map { $0 < missing || x.shape[$0 - missing] == 1 ? 0 : own[$0 - missing] }
    return try DenseElements.apply(x) { $0.gathered(shape: shape, strides: strides, pool: context.pool) }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard let target = ShapeInference.integers(inputs, 1) else {
      guard let length = ShapeInference.input(inputs, 1)?.staticShape?.first, length < 64, let dims = x?.dimensions
      else {
        return [.tensor(x?.elementType, dimensions: nil)]
      }
      // Only dimensions of 1 can become others.
      let kept = dims.map { dim in (dim.known ?? 1) == 1 ? .unknown : dim }
      return [
        .tensor(x?.elementType, dimensions: Array(repeating: .unknown, count: max(0, length - dims.count)) + kept)
      ]
    }
    let dims = try ShapeInference.broadcastDimensions([x?.dimensions, target.map(Dimension.known)])
    return [.tensor(x?.elementType, dimensions: dims)]
  }

  package static var quantization: QuantizationTraits { .movement }
}
