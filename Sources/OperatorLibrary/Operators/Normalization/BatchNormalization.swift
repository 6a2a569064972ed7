import FloatKernels
import ONNXGraph
import ONNXTensor

/// y = (x - mean) / sqrt(var + epsilon) * scale + bias for each channel (axis 1).
///
/// Opsets 1, 6, 7, 9, 14, 15. With `training_mode` (opset 14) the statistics come from the batch and the running ones
/// follow as outputs. Below opset 9 `spatial = 0` keeps statistics for every element of a sample.
enum BatchNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let epsilon = try node.float("epsilon", default: 1e-5)
    let momentum = try node.float("momentum", default: 0.9)
    let isTraining = node.opset >= 14 ? try node.bool("training_mode", default: false) : false
    let isSpatial = node.opset < 9 ? try node.bool("spatial", default: true) : true
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      guard x.rank >= 1 else { throw OperatorError("input 0 is a scalar") }
      let parameters = try (1...4).map { try inputs[$0] }
      let channels = isSpatial ? (x.rank > 1 ? x.shape[1] : 1) : extent(x.shape.dropFirst())
      for (index, parameter) in parameters.enumerated() where parameter.count != channels {
        throw OperatorError(
          "input \(index + 1) of shape \(parameter.shape) is not one value for each of \(channels) channels")
      }
      let sizes = (outer: x.shape[0], channels: channels, inner: isSpatial ? extent(x.shape.dropFirst(2)) : 1)
      if x.elementType == .float32, !isTraining, parameters.allSatisfy({ $0.elementType == .float32 }) {
        return [.tensor(try runFloats(x, parameters, sizes, epsilon, context))]
      }
      let type = try (x.elementType == .float64 ? .float64 : parameters[2].elementType).computeType(what: "input 3")
      return try run(
        type, x, parameters, sizes, epsilon, momentum, isTraining: isTraining, outputs: context.outputCount)
    }
  }

  private static func runFloats(
    _ x: Tensor, _ parameters: [Tensor], _ sizes: (outer: Int, channels: Int, inner: Int), _ epsilon: Float,
    _ context: EvaluationContext
  ) throws -> Tensor {
    let (scale, bias, mean, variance) = (
      parameters[0].array(Float.self), parameters[1].array(Float.self), parameters[2].array(Float.self),
      parameters[3].array(Float.self)
    )
    let factors = scale.indices.map { scale[$0] / (variance[$0] + epsilon).squareRoot() }
    let shifts = scale.indices.map { bias[$0] - mean[$0] * factors[$0] }
    return try context.tensor(of: Float.self, shape: x.shape) { y in
      try x.withElements(Float.self) { x in
        try factors.withUnsafeBufferPointer { factors in
          try shifts.withUnsafeBufferPointer {
            try context.backend.scaleShift(
              outer: sizes.outer, channels: sizes.channels, inner: sizes.inner, x, scale: factors, shift: $0, into: y)
          }
        }
      }
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ parameters: [Tensor], _ sizes: (outer: Int, channels: Int, inner: Int),
    _ epsilon: Float, _ momentum: Float, isTraining: Bool, outputs: Int
  ) throws -> [RuntimeValue?] {
    _ = try x.elementType.computeType()
    var values = try x.reals(T.self)
    let scale = try parameters[0].reals(T.self)
    let bias = try parameters[1].reals(T.self)
    var mean = try parameters[2].reals(T.self)
    var variance = try parameters[3].reals(T.self)
    var running: [RuntimeValue?] = []
    if isTraining {
      let batch = moments(values, sizes)
      if outputs > 1 {
        let keep = T(momentum)
        func blend(_ old: [T], _ new: [T]) -> [T] { zip(old, new).map { $0 * keep + $1 * (1 - keep) } }
        running = try [(blend(mean, batch.mean), parameters[2]), (blend(variance, batch.variance), parameters[3])].map {
          .tensor(try Tensor(reals: $0.0, as: $0.1.elementType, shape: $0.1.shape))
        }
      }
      (mean, variance) = batch
    }
    let factors = (0..<sizes.channels).map { scale[$0] / (variance[$0] + T(epsilon)).squareRoot() }
    var index = 0
    for _ in 0..<sizes.outer {
      for channel in 0..<sizes.channels {
        for _ in 0..<sizes.inner {
          values[index] = (values[index] - mean[channel]) * factors[channel] + bias[channel]
          index += 1
        }
      }
    }
    return [.tensor(try Tensor(reals: values, as: x.elementType, shape: x.shape))] + running
  }

  private static func moments<T: ComputeReal>(
    _ x: [T], _ sizes: (outer: Int, channels: Int, inner: Int)
  ) -> (mean: [T], variance: [T]) {
    let count = T(sizes.outer * sizes.inner)
    func average(_ value: (Int, Int) -> T) -> [T] {
      (0..<sizes.channels).map { channel in
        var sum: T = 0
        for outer in 0..<sizes.outer {
          let base = (outer * sizes.channels + channel) * sizes.inner
          for index in base..<base + sizes.inner { sum += value(index, channel) }
        }
        return sum / count
      }
    }
    let mean = average { index, _ in x[index] }
    return (mean, average { index, channel in (x[index] - mean[channel]) * (x[index] - mean[channel]) })
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let channels = inputs.extents(0).map { $0.count > 1 ? [$0[1]] : [Extent(1)] }
    let statistics = [3, 4].map { InferredValue(inputs.elementType($0), extents: inputs.extents($0) ?? channels) }
    return [inputs.like(0)] + statistics
  }

  static var quantization: QuantizationTraits { .unary }
}
