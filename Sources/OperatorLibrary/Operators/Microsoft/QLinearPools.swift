import ONNXGraph
import ONNXTensor

/// The mean of each window of a quantized tensor.
enum QLinearAveragePool: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try WindowGeometry.Attributes(node)
    let includesPad = try node.bool("count_include_pad", default: false)
    let isChannelsLast = try node.bool("channels_last", default: false)
    return .tensors { inputs, context in
      try QLinearPool.run(inputs, isChannelsLast: isChannelsLast, context) { x in
        try AveragePool.run(
          Float.self, x, try WindowPool.geometry(attributes, x), .average(includingPad: includesPad))
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if try node.bool("channels_last", default: false) { return [InferredValue(inputs.elementType(0), extents: nil)] }
    return try AveragePool.infer(node, inputs)
  }
}

/// The mean over all spatial axes of a quantized tensor.
enum QLinearGlobalAveragePool: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isChannelsLast = try node.bool("channels_last", default: false)
    return .tensors { inputs, context in
      try QLinearPool.run(inputs, isChannelsLast: isChannelsLast, context) { x in
        guard x.rank >= 3 else { throw OperatorError("the input has rank \(x.rank), expected 3 or more") }
        let spatial = Array(x.shape.dropFirst(2))
        let ones = Array(repeating: 1, count: spatial.count)
        let zeros = Array(repeating: 0, count: spatial.count)
        let geometry = WindowGeometry(
          input: spatial, kernel: spatial.map { max($0, 1) }, strides: ones, dilations: ones, padBegin: zeros,
          padEnd: zeros, output: ones)
        return try AveragePool.run(Float.self, x, geometry, .average(includingPad: false))
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let isChannelsLast = try node.bool("channels_last", default: false)
    return [
      InferredValue(
        inputs.elementType(0),
        extents: inputs.extents(0).map { x in
          x.indices.map { $0 == 0 || $0 == (isChannelsLast ? x.count - 1 : 1) ? x[$0] : Extent(1) }
        })
    ]
  }
}

private enum QLinearPool {
  /// Pools the centred codes, which are exact in float32, and rescales.
  static func run(
    _ inputs: TensorInputs, isChannelsLast: Bool, _ context: EvaluationContext, _ pool: (Tensor) throws -> Tensor
  ) throws -> Tensor {
    let x = try QuantizedOperand(
      try inputs[0], scale: try inputs[1], zeroPoint: try inputs.optional(2), what: "the input")
    let requantizer = try Requantizer(scale: try inputs[3], zeroPoint: try inputs.optional(4), default: x.elementType)
    guard x.shape.count >= 3 else { throw OperatorError("the input has rank \(x.shape.count), expected 3 or more") }
    var values = Tensor(x.centred.map { Float($0) }, shape: x.shape)
    if isChannelsLast { values = try moved(values, from: x.shape.count - 1, to: 1, context) }
    var pooled = try pool(values)
    if isChannelsLast { pooled = try moved(pooled, from: 1, to: x.shape.count - 1, context) }
    return requantizer.quantize(pooled.array(Float.self).map { $0 * x.scales[0] }, shape: pooled.shape)
  }

  private static func moved(_ x: Tensor, from: Int, to: Int, _ context: EvaluationContext) throws -> Tensor {
    var order = Array(x.shape.indices)
    order.insert(order.remove(at: from), at: to)
    let strides = rowMajorStrides(x.shape)
    return try OffsetGather(tables: order.map { OffsetGather.axis(count: x.shape[$0], stride: strides[$0]) })(
      x, context)
  }
}
