import ONNXTensor

/// Dimensions in the order of `perm`, reversed without it. Opsets 1–25.
package enum Transpose: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = try node.ints("perm")
    return .tensors { inputs, context in
      try DenseElements.apply(inputs[0]) { x in
        x.transposed(try permutation(attribute, rank: x.rank), pool: context.pool)
      }
    }
  }

  private static func permutation(_ attribute: [Int]?, rank: Int) throws -> [Int] {
    guard let attribute else { return Array((0..<rank).reversed()) }
    guard attribute.count == rank else { throw OperatorError("'perm' is \(attribute), the rank is \(rank)") }
    return try ShapeArithmetic.axes(attribute, rank: rank, name: "perm")
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    let attribute = try node.ints("perm")
    guard let dims = x?.dimensions else {
      return [.tensor(x?.elementType, dimensions: attribute.map { $0.map { _ in .unknown } })]
    }
    return [.tensor(x?.elementType, dimensions: try permutation(attribute, rank: dims.count).map { dims[$0] })]
  }

  package static var quantization: QuantizationTraits { .movement }
}
