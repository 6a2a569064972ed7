import ONNXTensor

/// The input repeated along each dimension. Opsets 1–13; opset 1 repeats one axis.
package enum Tile: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let x = try inputs[0]
      var repeats = try inputs[1].integers("repeats")
      if node.opset < 6 {
        let axis = try ShapeArithmetic.axis(inputs[2].integer("axis"), rank: x.rank)
        let count = try inputs[1].integer("tiles")
        repeats = x.shape.indices.map { $0 == axis ? count : 1 }
      }
      let shape = try tiled(x.shape, repeats)
      try ShapeArithmetic.check(shape, x.elementType)
      // Dimension d becomes (repeats, extent), the first of stride 0.
      let own = ShapeArithmetic.strides(x.shape)
      let extents = zip(repeats, x.shape).flatMap { [$0, $1] }
      return try DenseElements.apply(x) {
        $0.gathered(shape: extents, strides: own.flatMap { [0, $0] }, pool: context.pool).reshaped(shape)
      }
    }
  }

  private static func tiled(_ shape: [Int], _ repeats: [Int]) throws -> [Int] {
    guard repeats.count == shape.count else {
      throw OperatorError("\(repeats.count) repeats for a tensor of rank \(shape.count)")
    }
    return try zip(shape, repeats).map { extent, count in
      guard count >= 0 else { throw OperatorError("a repeat is negative: \(repeats)") }
      return try ShapeArithmetic.product(extent, count)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard let dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    guard node.opset >= 6, let repeats = ShapeInference.integers(inputs, 1) else {
      return [.tensor(x?.elementType, dimensions: dims.map { _ in .unknown })]
    }
    guard repeats.count == dims.count else { throw OperatorError("\(repeats.count) repeats for rank \(dims.count)") }
    return [
      .tensor(
        x?.elementType,
        dimensions: try zip(dims, repeats).map { dim, count in
          if count == 1 { return dim }
          guard let extent = dim.known else { return .unknown }
          return .known(try ShapeArithmetic.product(extent, count))
        })
    ]
  }

  package static var quantization: QuantizationTraits { .movement }
}
