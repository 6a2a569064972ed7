import ONNXTensor

/// Elements picked along `axis` by a tensor of indices of the result's shape. Opsets 11–13.
package enum GatherElements: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 0)
    return .tensors { inputs, context in
      let (x, indices) = (try inputs[0], try inputs[1])
      let axis = try ShapeArithmetic.axis(axis, rank: x.rank)
      let positions = try ElementPositions(x.shape, indices, axis: axis).all
      return try DenseElements.apply(x) { x in
        let flat = x.reshaped([x.count])
        return flat.taking(positions, axis: 0, as: indices.shape, pool: context.pool)
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [
      .tensor(
        ShapeInference.input(inputs, 0)?.elementType, dimensions: ShapeInference.input(inputs, 1)?.dimensions)
    ]
  }

  package static var quantization: QuantizationTraits { .movement }
}

/// Where the elements lie that a tensor of indices along one axis names: each index replaces its own place on the axis.
struct ElementPositions {
  let all: [Int]

  init(_ shape: [Int], _ indices: Tensor, axis: Int) throws {
    guard indices.rank == shape.count else {
      throw OperatorError("indices of rank \(indices.rank) for a tensor of rank \(shape.count)")
    }
    for other in shape.indices where other != axis && indices.shape[other] > shape[other] {
      throw OperatorError("indices of shape \(indices.shape) do not fit \(shape) with axis \(axis)")
    }
    let strides = ShapeArithmetic.strides(shape)
    var positions = try Indices.resolve(indices, extent: shape[axis])
    var index = [Int](repeating: 0, count: shape.count)
    for place in positions.indices {
      var position = positions[place] * strides[axis]
      for other in shape.indices where other != axis { position += index[other] * strides[other] }
      positions[place] = position
      for other in shape.indices.reversed() {
        index[other] += 1
        if index[other] < indices.shape[other] { break }
        index[other] = 0
      }
    }
    all = positions
  }
}
