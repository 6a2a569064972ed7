import ONNXGraph
import ONNXTensor

/// Convolution of quantized tensors: exact 32-bit sums with an int32 bias, one float32 multiplication, one rounding.
/// Opset 10.
enum QLinearConv: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try ConvolutionGeometry.Attributes(node)
    return .tensors { inputs, context in
      let shape = try ConvolutionGeometry(attributes, x: try inputs[0].shape, w: try inputs[3].shape)
      let x = try QuantizedOperand(try inputs[0], scale: try inputs[1], zeroPoint: try inputs[2], what: "the input")
      let w = try QuantizedOperand(
        try inputs[3], scale: try inputs[4], zeroPoint: try inputs[5], axis: 0, what: "the weight")
      let requantizer = try Requantizer(
        scale: try inputs[6], zeroPoint: try inputs.optional(7), default: x.elementType)
      let bias = try inputs.optional(8)
      try bias?.require(.int32, "the bias")
      try bias?.require(shape: [shape.outChannels], "the bias")
      try CheckedSize.check(shape.output, of: .int32)
      let sums = shape.convolve(x.centred, w.centred, bias: bias?.array(Int32.self))
      let plane = shape.geometry.outputCount
      let multipliers = (0..<shape.outChannels).map { x.scales[0] * w.scale($0) / requantizer.scale }
      let codes = sums.enumerated().map { index, sum in
        requantizer.code(Float(sum) * multipliers[index / plane % shape.outChannels])
      }
      return requantizer.tensor(codes, shape: shape.output)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [
      InferredValue(
        inputs.elementType(7) ?? inputs.elementType(0),
        extents: try Conv.inferExtents(node, x: inputs.extents(0), w: inputs.extents(3)))
    ]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard inputs.count > 3 else { return 0 }
    return Conv.macs(node, inputs: [inputs[0], inputs[3]], outputs: outputs)
  }
}
