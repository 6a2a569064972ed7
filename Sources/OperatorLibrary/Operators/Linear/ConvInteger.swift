import ONNXGraph
import ONNXTensor

/// Convolution of 8-bit integers with exact 32-bit sums. Opset 10.
enum ConvInteger: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try ConvolutionGeometry.Attributes(node)
    return .tensors { inputs, context in
      let shape = try ConvolutionGeometry(attributes, x: try inputs[0].shape, w: try inputs[1].shape)
      let x = try QuantizedOperand(try inputs[0], scale: nil, zeroPoint: try inputs.optional(2), what: "the input")
      let w = try QuantizedOperand(
        try inputs[1], scale: nil, zeroPoint: try inputs.optional(3), axis: 0, what: "the weight")
      try CheckedSize.check(shape.output, of: .int32)
      return Tensor(shape.convolve(x.centred, w.centred, bias: nil), shape: shape.output)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(.int32, extents: try Conv.inferExtents(node, x: inputs.extents(0), w: inputs.extents(1)))]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    Conv.macs(node, inputs: inputs, outputs: outputs)
  }
}
