import ONNXGraph
import ONNXTensor

/// Normalization of each sample over groups of channels. Opsets 18 (scale and bias per group), 21 (per channel).
enum GroupNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let epsilon = try node.float("epsilon", default: 1e-5)
    guard let groups = try node.int("num_groups"), groups >= 1 else {
      throw OperatorError("attribute 'num_groups' must be a positive integer")
    }
    let isPerGroup = node.opset < 21
    return .tensors { inputs, context in
      let x = try inputs[0]
      guard x.rank >= 2, x.shape[1] % groups == 0 else {
        throw OperatorError("input 0 of shape \(x.shape) does not split into \(groups) groups of channels")
      }
      let channels = x.shape[1]
      let scale = try inputs[1]
      let bias = try inputs[2]
      for parameter in [scale, bias] { try parameter.require(shape: [isPerGroup ? groups : channels], "scale or bias") }
      return try ChannelNormalization.run(
        try x.elementType.computeType(), x, groups: groups, epsilon,
        scale: scale, bias: bias, perParameter: isPerGroup ? channels / groups : 1)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }

  static var quantization: QuantizationTraits { .unary }
}

/// Normalization of each channel of each sample. Opsets 1, 6, 22.
enum InstanceNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let epsilon = try node.float("epsilon", default: 1e-5)
    return .tensors { inputs, context in
      let x = try inputs[0]
      guard x.rank >= 2 else { throw OperatorError("input 0 has rank \(x.rank), expected 2 or more") }
      let scale = try inputs[1]
      let bias = try inputs[2]
      for parameter in [scale, bias] { try parameter.require(shape: [x.shape[1]], "scale or bias") }
      return try ChannelNormalization.run(
        try x.elementType.computeType(), x, groups: max(x.shape[1], 1), epsilon, scale: scale, bias: bias,
        perParameter: 1)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }

  static var quantization: QuantizationTraits { .unary }
}

private enum ChannelNormalization {
  /// `perParameter` neighbouring channels share one scale and bias.
  @_specialize(where T == Float)
  static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, groups: Int, _ epsilon: Float, scale: Tensor, bias: Tensor, perParameter: Int
  ) throws -> Tensor {
    var y = try x.reals(T.self)
    let factors = try scale.reals(T.self)
    let shifts = try bias.reals(T.self)
    let channels = x.shape[1]
    let plane = extent(x.shape[2...])
    let count = channels / groups * plane
    for row in 0..<(count == 0 ? 0 : x.shape[0] * groups) {
      let range = row * count..<(row + 1) * count
      let mean = y[range].reduce(0, +) / T(count)
      var sum: T = 0
      for index in range {
        y[index] -= mean
        T.accumulate(&sum, y[index], y[index])
      }
      let inverse = 1 / (sum / T(count) + T(epsilon)).squareRoot()
      for index in range {
        let channel = index / plane % channels / perParameter
        y[index] = y[index] * inverse * factors[channel] + shifts[channel]
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }
}
