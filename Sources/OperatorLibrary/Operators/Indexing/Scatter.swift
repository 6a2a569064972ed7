import ONNXTensor

/// A copy of the data with elements replaced (or combined) along `axis` at a tensor of indices. Opsets 11–18.
package enum ScatterElements: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 0)
    let reduction = try ScatterReduction(node)
    return .tensors { inputs, context in
      let (data, indices, updates) = (try inputs[0], try inputs[1], try inputs[2])
      let axis = try ShapeArithmetic.axis(axis, rank: data.rank)
      guard indices.shape == updates.shape else {
        throw OperatorError("indices of shape \(indices.shape), updates of shape \(updates.shape)")
      }
      let positions = try ElementPositions(data.shape, indices, axis: axis).all
      return try reduction.apply(data, positions: positions, run: 1, updates: updates, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}

/// ScatterElements under its first name. Opsets 9–10.
package enum Scatter: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel { try ScatterElements.prepare(node) }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}

/// A copy of the data with slices replaced (or combined) where rows of indices say. Opsets 11–18.
package enum ScatterND: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let reduction = try ScatterReduction(node)
    return .tensors { inputs, context in
      let (data, indices, updates) = (try inputs[0], try inputs[1], try inputs[2])
      let places = try SlicePositions(data.shape, indices, leading: 0)
      guard updates.shape == Array(indices.shape.dropLast() + data.shape[places.depth...]) else {
        throw OperatorError("updates of shape \(updates.shape) do not fit indices of shape \(indices.shape)")
      }
      return try reduction.apply(data, positions: places.all, run: places.slice, updates: updates, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}
