import ONNXGraph
import ONNXTensor

/// Mean or maximum of bilinear samples in each cell of a grid over each region of interest.
///
/// Opsets 10 (coordinates as `output_half_pixel`), 16, 22. As in ONNX's reference, `max` takes the largest of the
/// weighted corners, not of the interpolated samples.
enum RoiAlign: Operator {
  struct Attributes {
    let isHalfPixel: Bool
    let isMax: Bool
    let height: Int
    let width: Int
    let samplingRatio: Int
    let scale: Float

    init(_ node: OperatorNode) throws {
      let fallback = node.opset < 16 ? "output_half_pixel" : "half_pixel"
      switch try node.string("coordinate_transformation_mode", default: fallback) {
      case "half_pixel": isHalfPixel = true
      case "output_half_pixel": isHalfPixel = false
      case let other: throw OperatorError("attribute 'coordinate_transformation_mode' is '\(other)'")
      }
      switch try node.string("mode", default: "avg") {
      case "avg": isMax = false
      case "max": isMax = true
      case let other: throw OperatorError("attribute 'mode' is '\(other)'")
      }
      height = try node.int("output_height", default: 1)
      width = try node.int("output_width", default: 1)
      samplingRatio = try node.int("sampling_ratio", default: 0)
      scale = try node.float("spatial_scale", default: 1)
      guard height >= 1, width >= 1, samplingRatio >= 0, samplingRatio < 1 << 20 else {
        throw OperatorError("output \(height) by \(width) with sampling_ratio \(samplingRatio)")
      }
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      try x.require(rank: 4, "input 0")
      let rois = try inputs[1]
      let batches = try inputs[2]
      guard rois.rank == 2, rois.shape[1] == 4, let batch = batches.integers, batch.count == rois.shape[0],
        batch.allSatisfy({ $0 >= 0 && $0 < x.shape[0] })
      else { throw OperatorError("regions \(rois.shape) and batch indices \(batches.shape) do not fit the input") }
      let shape = [rois.shape[0], x.shape[1], attributes.height, attributes.width]
      try CheckedSize.check(shape, of: x.elementType)
      return try run(try x.elementType.computeType(), attributes, x, rois, batch, shape)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: Attributes, _ x: Tensor, _ rois: Tensor, _ batch: [Int], _ shape: [Int]
  ) throws -> Tensor {
    let values = try x.reals(T.self)
    let regions = try rois.reals(T.self)
    let (height, width) = (x.shape[2], x.shape[3])
    let offset: T = attributes.isHalfPixel ? 0.5 : 0
    var y = [T](repeating: 0, count: extent(shape))
    guard height > 0, width > 0 else { return try Tensor(reals: y, as: x.elementType, shape: shape) }
    var next = 0
    for number in 0..<shape[0] {
      let corners = (0..<4).map { regions[number * 4 + $0] * T(attributes.scale) - offset }
      guard corners.allSatisfy({ $0.magnitude < 1e9 }) else { throw OperatorError("region \(number) is not finite") }
      var size = (height: corners[3] - corners[1], width: corners[2] - corners[0])
      if !attributes.isHalfPixel { size = (max(size.height, 1), max(size.width, 1)) }
      let cell = (height: size.height / T(attributes.height), width: size.width / T(attributes.width))
      func samples(_ extent: T) -> Int {
        attributes.samplingRatio > 0 ? attributes.samplingRatio : max(Int(extent.rounded(.up)), 0)
      }
      let grid = (rows: samples(cell.height), columns: samples(cell.width))
      guard grid.rows < 1 << 20, grid.columns < 1 << 20 else { throw OperatorError("region \(number) is too large") }
      for channel in 0..<shape[1] {
        let base = (batch[number] * shape[1] + channel) * height * width
        for row in 0..<shape[2] {
          for column in 0..<shape[3] {
            var result: T?
            for iy in 0..<grid.rows {
              let sy = corners[1] + T(row) * cell.height + (T(iy) + 0.5) * cell.height / T(grid.rows)
              for ix in 0..<grid.columns {
                let sx = corners[0] + T(column) * cell.width + (T(ix) + 0.5) * cell.width / T(grid.columns)
                let terms = weightedCorners(values, base, height, width, y: sy, x: sx)
                let value =
                  attributes.isMax
                  ? max(max(terms.0, terms.1), max(terms.2, terms.3))
                  : terms.0 + terms.1 + terms.2 + terms.3
                result = attributes.isMax ? max(result ?? value, value) : (result ?? 0) + value
              }
            }
            y[next] = attributes.isMax ? result ?? 0 : (result ?? 0) / T(max(grid.rows * grid.columns, 1))
            next += 1
          }
        }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  private static func weightedCorners<T: ComputeReal>(
    _ values: [T], _ base: Int, _ height: Int, _ width: Int, y: T, x: T
  ) -> (T, T, T, T) {
    if y < -1 || y > T(height) || x < -1 || x > T(width) { return (0, 0, 0, 0) }
    var (y, x) = (max(y, 0), max(x, 0))
    var (top, left) = (Int(y), Int(x))
    var (bottom, right) = (top + 1, left + 1)
    if top >= height - 1 { (top, bottom, y) = (height - 1, height - 1, T(height - 1)) }
    if left >= width - 1 { (left, right, x) = (width - 1, width - 1, T(width - 1)) }
    let (ly, lx) = (y - T(top), x - T(left))
    let (hy, hx) = (1 - ly, 1 - lx)
    return (
      hy * hx * values[base + top * width + left], hy * lx * values[base + top * width + right],
      ly * hx * values[base + bottom * width + left], ly * lx * values[base + bottom * width + right]
    )
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let attributes = try Attributes(node)
    let regions = inputs.extents(1)?.first ?? inputs.extents(2)?.first ?? .unknown
    return [
      InferredValue(
        inputs.elementType(0),
        extents: [
          regions, inputs.extents(0)?[safe: 1] ?? .unknown, Extent(attributes.height), Extent(attributes.width),
        ])
    ]
  }
}
