import ONNXGraph
import ONNXTensor

/// The slices of `axis` that the indices name, negative ones from the end. Opsets 1–13.
package enum Gather: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 0)
    return .tensors { inputs, context in
      let (x, indices) = (try inputs[0], try inputs[1])
      let axis = try ShapeArithmetic.axis(axis, rank: x.rank)
      let positions = try Indices.resolve(indices, extent: x.shape[axis])
      try ShapeArithmetic.check(x.shape[..<axis] + indices.shape + x.shape[(axis + 1)...], x.elementType)
      return try DenseElements.apply(x) {
        $0.taking(positions, axis: axis, as: indices.shape, pool: context.pool)
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard let dims = x?.dimensions, let places = ShapeInference.input(inputs, 1)?.dimensions else {
      return [.tensor(x?.elementType, dimensions: nil)]
    }
    let axis = try ShapeArithmetic.axis(node.int("axis", default: 0), rank: dims.count)
    return [.tensor(x?.elementType, dimensions: dims[..<axis] + places + dims[(axis + 1)...])]
  }

  package static var quantization: QuantizationTraits { .movement }
}

enum Indices {
  /// Indices into an extent, counted from the front; an error for those outside.
  static func resolve(_ indices: Tensor, extent: Int) throws -> [Int] {
    var positions = try indices.integers("the indices")
    for (place, index) in positions.enumerated() {
      guard index >= -extent, index < extent else { throw OperatorError("index \(index) is outside of \(extent)") }
      if index < 0 { positions[place] = index + extent }
    }
    return positions
  }
}
