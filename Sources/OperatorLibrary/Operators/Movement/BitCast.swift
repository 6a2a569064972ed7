import ONNXTensor

/// The same bits as another element type of equal width. Opset 26.
package enum BitCast: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let type = try node.elementType("to") else { throw OperatorError("attribute 'to' is missing") }
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard x.elementType.bitWidth == type.bitWidth, type != .string, x.elementType != .string else {
        throw OperatorError("\(x.elementType.name) and \(type.name) have different widths")
      }
      return x.reinterpreted(as: type)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: try node.elementType("to"))
  }
}
