import ONNXTensor

/// Conversion to the element type `to`. Opsets 1–28; see `ElementCast` for what ONNX leaves open.
package enum Cast: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let type = try target(node) else { throw OperatorError("attribute 'to' is missing") }
    let cast = try ElementCast(node)
    return .tensors { inputs, context in try cast.apply(inputs[0], to: type, pool: context.pool) }
  }

  private static func target(_ node: OperatorNode) throws -> ElementType? {
    // Opset 1 names the type.
    guard node.opset < 6, case .string(let bytes) = node.node.attribute("to") else { return try node.elementType("to") }
    let name = String(decoding: bytes, as: UTF8.self).lowercased()
    return ElementType.allCases.first { $0.name == name }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.same(inputs, as: target(node))
  }
}

/// Conversion to the element type of the second input. Opsets 15–25.
package enum CastLike: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let cast = try ElementCast(node)
    return .tensors { inputs, context in
      try cast.apply(inputs[0], to: inputs[1].elementType, pool: context.pool)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let type = ShapeInference.input(inputs, 1)?.elementType else { return [] }
    return ShapeInference.same(inputs, as: type)
  }
}

extension ElementCast {
  fileprivate init(_ node: OperatorNode) throws {
    saturates = try node.bool("saturate", default: true)
    roundMode = try node.string("round_mode", default: "up")
    guard ["up", "down", "nearest"].contains(roundMode) else {
      throw OperatorError("attribute 'round_mode' is '\(roundMode)', it must be 'up', 'down' or 'nearest'")
    }
  }
}
