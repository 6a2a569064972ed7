import ONNXGraph
import ONNXTensor

/// The Fourier transforms of windowed frames of a signal. Opset 17.
enum STFT: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isOneSided = try node.bool("onesided", default: true)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let step = try inputs[1].scalarInteger("frame_step")
      let window = try inputs.optional(2)
      let length = try inputs.optional(3)?.scalarInteger("frame_length")
      return try run(try x.elementType.computeType(), x, step, window, length, isOneSided: isOneSided)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ step: Int, _ window: Tensor?, _ length: Int?, isOneSided: Bool
  ) throws -> Tensor {
    guard x.rank == 2 || (x.rank == 3 && (x.shape[2] == 1 || x.shape[2] == 2)) else {
      throw OperatorError("the signal has shape \(x.shape), expected [batch, length, 1 or 2]")
    }
    let parts = x.rank == 2 ? 1 : x.shape[2]
    let samples = x.shape[1]
    let count = length ?? window?.count ?? samples
    guard step >= 1, count >= 1, count <= samples else {
      throw OperatorError("frames of \(count) in steps of \(step) over a signal of \(samples)")
    }
    let weights = try window.map { try $0.reals(T.self) } ?? Array(repeating: 1, count: count)
    guard weights.count == count else { throw OperatorError("a window of \(weights.count) for frames of \(count)") }
    if isOneSided && parts == 2 { throw OperatorError("a one-sided transform of a complex signal") }
    let frames = 1 + (samples - count) / step
    let bins = isOneSided ? count / 2 + 1 : count
    let shape = [x.shape[0], frames, bins, 2]
    try CheckedSize.check(shape, of: .float64)
    let values = try x.reals(T.self)
    let transform = FourierTransform<T>(count: count, isInverse: false)
    var y: [T] = []
    y.reserveCapacity(extent(shape))
    for batch in 0..<x.shape[0] {
      for frame in 0..<frames {
        let start = batch * samples + frame * step
        let signal = (0..<count).map { index -> FourierTransform<T>.Complex in
          let source = (start + index) * parts
          return .init(
            re: values[source] * weights[index], im: parts == 2 ? values[source + 1] * weights[index] : 0)
        }
        let result = transform(signal)
        for bin in 0..<bins { y += [result[bin].re, result[bin].im] }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let type = inputs.elementType(0)
    let x = inputs.extents(0)
    let isOneSided = try node.bool("onesided", default: true)
    var count: Int?
    if inputs.count > 3, inputs[3] != nil {
      count = inputs.constant(3)?.integers?.first
    } else if inputs.count > 2, inputs[2] != nil {
      count = inputs.extents(2)?.first?.known
    } else {
      count = x?[safe: 1]?.known
    }
    var frames = Extent.unknown
    if let samples = x?[safe: 1]?.known, let step = inputs.constant(1)?.integers?.first, let count, step > 0,
      count <= samples
    {
      frames = Extent(1 + (samples - count) / step)
    }
    let bins = count.map { Extent(isOneSided ? $0 / 2 + 1 : $0) } ?? .unknown
    return [InferredValue(type, extents: [x?.first ?? .unknown, frames, bins, Extent(2)])]
  }
}
