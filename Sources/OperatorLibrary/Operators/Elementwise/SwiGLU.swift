import ONNXTensor

/// Swish of the gate A times B. Opset 28.
package enum SwiGLU: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let swish = try Swish.function(node)
    return .tensors { inputs, context in
      let (gate, value) = (try inputs[0], try inputs[1])
      guard gate.shape == value.shape else {
        throw OperatorError("the inputs have different shapes: \(gate.shape), \(value.shape)")
      }
      return try Mul.map(swish.apply(gate, context), value, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }

  package static var quantization: QuantizationTraits { .elementwise }
}
