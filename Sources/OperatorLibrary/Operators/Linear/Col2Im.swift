import ONNXGraph
import ONNXTensor

/// Puts column blocks back where `im2col` took them from; overlapping elements are summed. Opset 18.
enum Col2Im: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try WindowGeometry.Attributes(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      try x.require(rank: 3, "input 0")
      guard let image = try inputs[1].integers, let block = try inputs[2].integers, image.count == block.count,
        image.allSatisfy({ $0 >= 0 }), block.allSatisfy({ $0 >= 1 })
      else { throw OperatorError("image_shape and block_shape must be integers of equal count") }
      let geometry = try WindowGeometry(attributes, input: image, kernel: block)
      guard x.shape[1] % geometry.kernelCount == 0, x.shape[2] == geometry.outputCount else {
        throw OperatorError("input \(x.shape) does not hold blocks \(block) of an image \(image)")
      }
      let channels = x.shape[1] / geometry.kernelCount
      let shape = [x.shape[0], channels] + image
      try CheckedSize.check(shape, of: x.elementType)
      switch x.elementType {
      case .int32: return Tensor(scatter(x.array(Int32.self), geometry, planes: x.shape[0] * channels), shape: shape)
      case .int64: return Tensor(scatter(x.array(Int64.self), geometry, planes: x.shape[0] * channels), shape: shape)
      default:
        return try reals(try x.elementType.computeType(), x, geometry, shape)
      }
    }
  }

  @_specialize(where T == Float)
  private static func reals<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ geometry: WindowGeometry, _ shape: [Int]
  ) throws -> Tensor {
    try Tensor(
      reals: scatter(try x.reals(T.self), geometry, planes: shape[0] * shape[1]), as: x.elementType, shape: shape)
  }

  private static func scatter<T: ComputeElement>(_ x: [T], _ geometry: WindowGeometry, planes: Int) -> [T] {
    let plane = extent(geometry.input)
    let columns = geometry.outputCount
    var y = [T](repeating: .zero, count: planes * plane)
    var taps: [(kernel: Int, offset: Int)] = []
    var position = [Int](repeating: 0, count: geometry.rank)
    for column in 0..<columns {
      geometry.taps(at: position, into: &taps)
      for number in 0..<planes {
        for tap in taps {
          T.accumulate(
            &y[number * plane + tap.offset], x[(number * geometry.kernelCount + tap.kernel) * columns + column], T.one)
        }
      }
      advance(&position, in: geometry.output)
    }
    return y
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let type = inputs.elementType(0)
    guard let image = inputs.constant(1)?.integers else {
      guard let count = inputs.extents(1)?.first?.known, count < 64 else {
        return [InferredValue(type, extents: nil)]
      }
      let x = inputs.extents(0)
      return [
        InferredValue(
          type, extents: [x?.first ?? .unknown, .unknown] + Array(repeating: .unknown, count: count))
      ]
    }
    var channels = Extent.unknown
    if let rows = inputs.extents(0)?[safe: 1]?.known, let block = inputs.constant(2)?.integers {
      let size = try CheckedSize.product(block)
      if size > 0 { channels = Extent(rows / size) }
    }
    return [InferredValue(type, extents: [inputs.extents(0)?.first ?? .unknown, channels] + image.map { Extent($0) })]
  }
}
