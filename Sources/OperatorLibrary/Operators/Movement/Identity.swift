import ONNXTensor

/// The input itself: tensor, sequence or optional. Opsets 1–25.
package enum Identity: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { inputs, _ in
      guard let value = inputs.first ?? nil else { throw OperatorError("input 0 is missing") }
      return [value]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    Array(inputs.prefix(1))
  }

  package static var quantization: QuantizationTraits { .movement }
}
