import ONNXTensor

/// Whether each string matches a regular expression as a whole. Opset 20.
///
/// The expression is RE2's, matched in linear time; a scalar is a character.
package enum RegexFullMatch: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let pattern = try node.string("pattern") else { throw OperatorError("attribute 'pattern' is missing") }
    let expression: RegularExpression
    do {
      expression = try RegularExpression(pattern)
    } catch {
      throw OperatorError("attribute 'pattern': \(error)")
    }
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard let strings = x.strings else { throw OperatorError("the input is not strings") }
      let matches = strings.map { expression.matchesWhole(String(decoding: $0, as: UTF8.self)) }
      return Tensor(matches, shape: x.shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: .bool)
  }
}
