import ONNXGraph
import ONNXTensor

/// The largest element of each cell of a grid over each region of interest, whose corners are rounded. Opsets 1, 22.
enum MaxRoiPool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let pooled = try node.ints("pooled_shape"), pooled.count == 2, pooled.allSatisfy({ $0 >= 1 }) else {
      throw OperatorError("attribute 'pooled_shape' must be two positive extents")
    }
    let scale = try node.float("spatial_scale", default: 1)
    return .tensors { inputs, context in
      let x = try inputs[0]
      try x.require(rank: 4, "input 0")
      let rois = try inputs[1]
      guard rois.rank == 2, rois.shape[1] == 5 else { throw OperatorError("the regions have shape \(rois.shape)") }
      let shape = [rois.shape[0], x.shape[1]] + pooled
      try CheckedSize.check(shape, of: x.elementType)
      return try run(try x.elementType.computeType(), x, rois, shape, Double(scale))
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ rois: Tensor, _ shape: [Int], _ scale: Double
  ) throws -> Tensor {
    let values = try x.reals(T.self)
    let regions = try rois.reals(Double.self)
    let (height, width) = (x.shape[2], x.shape[3])
    var y: [T] = []
    y.reserveCapacity(extent(shape))
    for number in 0..<shape[0] {
      let batch = regions[number * 5]
      guard batch >= 0, batch < Double(x.shape[0]) else { throw OperatorError("region \(number) has batch \(batch)") }
      let corners = try (1..<5).map { index -> Int in
        let value = (regions[number * 5 + index] * scale).rounded(.toNearestOrAwayFromZero)
        guard value.magnitude < 1e15 else { throw OperatorError("region \(number) has corner \(value)") }
        return Int(value)
      }
      let regionWidth = max(corners[2] - corners[0] + 1, 1)
      let regionHeight = max(corners[3] - corners[1] + 1, 1)
      for channel in 0..<shape[1] {
        let base = (Int(batch) * shape[1] + channel) * height * width
        for row in 0..<shape[2] {
          let rows = cell(row, of: shape[2], size: regionHeight, start: corners[1], limit: height)
          for column in 0..<shape[3] {
            let columns = cell(column, of: shape[3], size: regionWidth, start: corners[0], limit: width)
            var best: T?
            for h in rows { for w in columns { best = max(best ?? -.infinity, values[base + h * width + w]) } }
            y.append(best ?? 0)
          }
        }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  private static func cell(_ index: Int, of count: Int, size: Int, start: Int, limit: Int) -> Range<Int> {
    let step = Double(size) / Double(count)
    let low = min(max(Int((Double(index) * step).rounded(.down)) + start, 0), limit)
    let high = min(max(Int((Double(index + 1) * step).rounded(.up)) + start, 0), limit)
    return low..<max(low, high)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let pooled = try node.ints("pooled_shape"), let x = inputs.extents(0), x.count == 4 else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    return [
      InferredValue(
        inputs.elementType(0),
        extents: [inputs.extents(1)?.first ?? .unknown, x[1]] + pooled.map { Extent($0) })
    ]
  }
}
