import ONNXGraph
import ONNXTensor

/// Local response normalization over neighbouring channels: x / (bias + alpha / size * sum of squares)^beta.
///
/// Opsets 1, 13.
enum LRN: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let alpha = try node.float("alpha", default: 0.0001)
    let beta = try node.float("beta", default: 0.75)
    let bias = try node.float("bias", default: 1)
    guard let size = try node.int("size"), size >= 1 else { throw OperatorError("attribute 'size' must be positive") }
    return .tensors { inputs, context in
      let x = try inputs[0]
      guard x.rank >= 2 else { throw OperatorError("input 0 has rank \(x.rank), expected 2 or more") }
      return try run(try x.elementType.computeType(), x, alpha, beta, bias, size)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ alpha: Float, _ beta: Float, _ bias: Float, _ size: Int
  ) throws -> Tensor {
    let values = try x.reals(T.self)
    var y = values
    let channels = x.shape[1]
    let plane = extent(x.shape[2...])
    let before = min((size - 1) / 2, channels)
    let after = min(size / 2, channels)
    for n in 0..<x.shape[0] {
      for channel in 0..<channels {
        let window = max(0, channel - before)..<min(channels, channel + after + 1)
        for offset in 0..<plane {
          var sum: T = 0
          for other in window {
            let value = values[(n * channels + other) * plane + offset]
            T.accumulate(&sum, value, value)
          }
          let index = (n * channels + channel) * plane + offset
          y[index] = values[index] / T.pow(T(bias) + T(alpha) / T(size) * sum, T(beta))
        }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }

  static var quantization: QuantizationTraits { .unary }
}
