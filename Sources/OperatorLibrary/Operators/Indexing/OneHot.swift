import ONNXTensor

/// on_value where the new axis equals the index, off_value elsewhere. Opsets 9–28.
package enum OneHot: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: -1)
    return .tensors { inputs, context in
      let (indices, depth, values) = (try inputs[0], try inputs[1], try inputs[2])
      guard depth.count == 1, let extent = depth.doubles?.first, extent >= 0, extent < 0x1p53 else {
        throw OperatorError("the depth is no single number of classes")
      }
      guard values.count == 2 else { throw OperatorError("the values have shape \(values.shape), they must be two") }
      let classes = Int(extent)
      let axis = try ShapeArithmetic.axis(axis, rank: indices.rank + 1)
      var shape = indices.shape
      shape.insert(classes, at: axis)
      try ShapeArithmetic.check(shape, values.elementType)
      guard let places = indices.doubles else { throw unsupported(indices.elementType) }
      let inner = indices.shape[axis...].reduce(1, &*)
      return try DenseElements.apply(values) { values in
        let size = values.elementBytes
        return values.withBytes { pair in
          Tensor(values.elementType, shape: shape, pool: context.pool) { out in
            guard let from = pair.baseAddress, let to = out.baseAddress, out.count > 0 else { return }
            StridedCopy(extents: [out.count / size], sourceStrides: [0], targetStrides: [1])
              .run(elementBytes: size, from: from, to: to)
            for (index, place) in places.enumerated() where place >= -extent && place < extent {
              let position = Int(place < 0 ? place + extent : place)
              let target = ((index / inner * classes) + position) * inner + index % inner
              (to + target * size).copyMemory(from: from + size, byteCount: size)
            }
          }
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let type = ShapeInference.input(inputs, 2)?.elementType
    guard var dims = ShapeInference.input(inputs, 0)?.dimensions else { return [.tensor(type, dimensions: nil)] }
    let axis = try ShapeArithmetic.axis(node.int("axis", default: -1), rank: dims.count + 1)
    let depth = ShapeInference.input(inputs, 1)?.constant?.doubles?.first
    dims.insert(depth.flatMap { $0 >= 0 && $0 < 0x1p53 ? .known(Int($0)) : nil } ?? .unknown, at: axis)
    return [.tensor(type, dimensions: dims)]
  }
}
