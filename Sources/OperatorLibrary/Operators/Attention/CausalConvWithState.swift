import ONNXGraph
import ONNXTensor

/// Depthwise convolution over time that sees the past alone and carries the last inputs on. Opset 27.
enum CausalConvWithState: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isSwish: Bool
    switch try node.string("activation", default: "none") {
    case "none": isSwish = false
    case "silu", "swish": isSwish = true
    case let other: throw OperatorError("attribute 'activation' is '\(other)'")
    }
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      let w = try inputs[1]
      try x.require(rank: 3, "the input")
      let (batch, channels) = (x.shape[0], x.shape[1])
      guard w.rank == 3, w.shape[0] == channels, w.shape[1] == 1, w.shape[2] >= 1 else {
        throw OperatorError("a weight of shape \(w.shape) does not fit \(channels) channels")
      }
      let bias = try inputs.optional(2)
      try bias?.require(shape: [channels], "the bias")
      let past = try inputs.optional(3)
      try past?.require(shape: [batch, channels, w.shape[2] - 1], "past_state")
      return try run(try x.elementType.computeType(), x, w, bias, past, isSwish: isSwish)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ past: Tensor?, isSwish: Bool
  ) throws -> [RuntimeValue?] {
    let (rows, channels, length, taps) = (x.shape[0] * x.shape[1], x.shape[1], x.shape[2], w.shape[2])
    let values = try x.reals(T.self)
    let weights = try w.reals(T.self)
    let biases = try bias?.reals(T.self)
    let carried = try past?.reals(T.self) ?? Array(repeating: 0, count: rows * (taps - 1))
    try CheckedSize.check([rows, try CheckedSize.add(length, taps)], of: .float64)
    var y = [T](repeating: 0, count: rows * length)
    var state: [T] = []
    for row in 0..<rows {
      let padded =
        Array(carried[(row * (taps - 1))..<((row + 1) * (taps - 1))]) + values[(row * length)..<((row + 1) * length)]
      let channel = row % channels
      for time in 0..<length {
        var sum = biases?[channel] ?? 0
        for tap in 0..<taps { T.accumulate(&sum, padded[time + tap], weights[channel * taps + tap]) }
        y[row * length + time] = sum
      }
      state += padded[(padded.count - (taps - 1))...]
    }
    AttentionCore.round(&y, to: x.elementType)
    if isSwish { for index in y.indices { y[index] *= T.sigmoid(y[index]) } }
    return [
      .tensor(try Tensor(reals: y, as: x.elementType, shape: x.shape)),
      .tensor(try Tensor(reals: state, as: x.elementType, shape: [x.shape[0], channels, taps - 1])),
    ]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    var state = inputs.extents(3)
    if state == nil, let x = inputs.extents(0), x.count == 3, let w = inputs.extents(1), w.count == 3 {
      state = [x[0], x[1], w[2].known.map { Extent($0 - 1) } ?? .unknown]
    }
    return [inputs.like(0), InferredValue(inputs.elementType(0), extents: state)]
  }
}
