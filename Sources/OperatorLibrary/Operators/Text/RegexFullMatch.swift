import ONNXTensor

/// Whether each string matches a regular expression as a whole. Opset 20.
///
/// The expression is read by Swift's engine, which knows RE2's syntax but for `\C`, `\Q…\E` within classes and the `U`
/// flag, and may take exponential time where RE2 does not.
package enum RegexFullMatch: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let pattern = try node.string("pattern") else { throw OperatorError("attribute 'pattern' is missing") }
    let expression: Regex<AnyRegexOutput>
    do {
      expression = try Regex(pattern).matchingSemantics(.unicodeScalar).wordBoundaryKind(.simple)
        .asciiOnlyCharacterClasses()
    } catch {
      throw OperatorError("attribute 'pattern' is no regular expression: \(error)")
    }
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard let strings = x.strings else { throw OperatorError("the input is not strings") }
      let matches = try strings.map { try expression.wholeMatch(in: String(decoding: $0, as: UTF8.self)) != nil }
      return Tensor(matches, shape: x.shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: .bool)
  }
}
