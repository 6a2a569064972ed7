import ONNXGraph
import ONNXTensor

/// `Conv`, then an added input, then an activation.
enum FusedConv: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    try Conv.prepare(node, activation: try FusedActivation.read(node), residualInput: 3)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try Conv.infer(node, inputs)
  }

  static var quantization: QuantizationTraits { Conv.quantization }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    Conv.macs(node, inputs: inputs, outputs: outputs)
  }
}

/// `Gemm`, then an activation.
enum FusedGemm: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let product = try Gemm.prepare(node)
    guard let activation = try FusedActivation.read(node) else { return product }
    return Kernel { inputs, context in
      guard let y = try product.body(inputs, context).first??.tensor else { throw OperatorError("no product") }
      var values = try y.reals(Float.self)
      try activation.apply(to: &values, context)
      return [.tensor(try Tensor(reals: values, as: y.elementType, shape: y.shape))]
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try Gemm.infer(node, inputs)
  }

  static var quantization: QuantizationTraits { Gemm.quantization }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    Gemm.macs(node, inputs: inputs, outputs: outputs)
  }
}

private enum FusedActivation {
  static func read(_ node: OperatorNode) throws -> Activation? {
    let name = try node.string("activation", default: "")
    if name.isEmpty { return nil }
    let parameters = try node.floats("activation_params") ?? []
    return try Activation(
      name: name, alpha: try node.float("activation_alpha") ?? parameters.first,
      beta: try node.float("activation_beta") ?? parameters[safe: 1])
  }
}
