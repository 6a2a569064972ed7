import ONNXTensor

/// A matrix: the dimensions before `axis` merged into rows, the others into columns. Opsets 1–25.
package enum Flatten: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 1)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      let axis = try split(axis, rank: x.rank)
      return x.reshaped([x.shape[..<axis].reduce(1, &*), x.shape[axis...].reduce(1, &*)])
    }
  }

  private static func split(_ axis: Int, rank: Int) throws -> Int {
    guard axis >= -rank, axis <= rank else { throw OperatorError("'axis' is \(axis), the rank is \(rank)") }
    return axis < 0 ? axis + rank : axis
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard let dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: [.unknown, .unknown])] }
    let axis = try split(node.int("axis", default: 1), rank: dims.count)
    // One dimension alone keeps its name.
    let rows = axis == 1 ? dims[0] : ShapeInference.product(dims[..<axis])
    let columns = axis == dims.count - 1 ? dims[axis] : ShapeInference.product(dims[axis...])
    return [.tensor(x?.elementType, dimensions: [rows, columns])]
  }

  package static var quantization: QuantizationTraits { .movement }
}
