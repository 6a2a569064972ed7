import FloatKernels
import ONNXGraph
import ONNXTensor

/// What MaxPool, AveragePool and LpPool share: windows over the spatial axes of [batch, channel, spatial...].
enum WindowPool {
  enum Reduction {
    case average(includingPad: Bool)
    case norm(p: Int)
  }

  static func geometry(_ attributes: WindowGeometry.Attributes, _ x: Tensor) throws -> WindowGeometry {
    guard x.rank >= 3 else { throw OperatorError("input 0 has rank \(x.rank), expected 3 or more") }
    guard let kernel = attributes.kernel else { throw OperatorError("attribute 'kernel_shape' is missing") }
    let geometry = try WindowGeometry(attributes, input: Array(x.shape.dropFirst(2)), kernel: kernel)
    try CheckedSize.check(Array(x.shape.prefix(2)) + geometry.output, of: .int64)
    return geometry
  }

  /// The float32 kernel, for up to three spatial axes.
  static func pool(
    _ kind: PoolingKind, _ x: Tensor, _ geometry: WindowGeometry, _ context: EvaluationContext
  ) throws -> Tensor {
    let shape = PoolingShape(
      planes: x.shape[0] * x.shape[1], input: geometry.input, kernel: geometry.kernel, strides: geometry.strides,
      dilations: geometry.dilations, padBegin: geometry.padBegin, padEnd: geometry.padEnd, output: geometry.output)
    return try context.tensor(of: Float.self, shape: Array(x.shape.prefix(2)) + geometry.output) { y in
      try x.withElements(Float.self) { try context.backend.pool(kind, shape, $0, into: y) }
    }
  }

  /// Averages and norms by definition.
  static func reduce<T: ComputeReal>(_ reduction: Reduction, _ x: [T], planes: Int, _ geometry: WindowGeometry) -> [T] {
    let plane = extent(geometry.input)
    let outPlane = geometry.outputCount
    var y = [T](repeating: 0, count: planes * outPlane)
    var taps: [(kernel: Int, offset: Int)] = []
    var position = [Int](repeating: 0, count: geometry.rank)
    guard !y.isEmpty else { return y }
    for out in 0..<outPlane {
      geometry.taps(at: position, into: &taps)
      let padded = geometry.paddedCount(at: position)
      for number in 0..<planes {
        var sum: T = 0
        switch reduction {
        case .average(let includingPad):
          for tap in taps { sum += x[number * plane + tap.offset] }
          sum /= T(includingPad ? padded : taps.count)
        case .norm(1):
          for tap in taps { sum += abs(x[number * plane + tap.offset]) }
        case .norm(2):
          for tap in taps { T.accumulate(&sum, x[number * plane + tap.offset], x[number * plane + tap.offset]) }
          sum = sum.squareRoot()
        case .norm(let p):
          for tap in taps { sum += T.pow(abs(x[number * plane + tap.offset]), T(p)) }
          sum = T.pow(sum, 1 / T(p))
        }
        y[number * outPlane + out] = sum
      }
      advance(&position, in: geometry.output)
    }
    return y
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [Extent]? {
    let attributes = try WindowGeometry.Attributes(node)
    guard let x = inputs.extents(0), x.count >= 3, let kernel = attributes.kernel else { return nil }
    return [x[0], x[1]]
      + WindowGeometry.inferredOutput(attributes, input: Array(x.dropFirst(2)), kernel: kernel.map { Extent($0) })
  }
}
