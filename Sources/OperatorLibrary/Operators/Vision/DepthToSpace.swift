import ONNXGraph
import ONNXTensor

/// Moves blocks of channels into the two spatial axes. Opsets 1, 11, 13, 28 (`mode` from 11 on).
enum DepthToSpace: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let block = try SpatialBlock(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let (n, c, h, w) = try block.extents(x)
      let area = try CheckedSize.multiply(block.size, block.size)
      guard c % area == 0 else { throw OperatorError("\(c) channels are not divisible by \(area)") }
      let b = block.size
      let plane = h * w
      // [batch][channel][h][block row][w][block column] of the output, by where each comes from.
      let channel = block.isColumnFirst ? area * plane : plane
      let row = block.isColumnFirst ? b * plane : b * (c / area) * plane
      let column = block.isColumnFirst ? plane : c / area * plane
      let gather = OffsetGather(tables: [
        OffsetGather.axis(count: n, stride: c * plane), OffsetGather.axis(count: c / area, stride: channel),
        combine(OffsetGather.axis(count: h, stride: w), OffsetGather.axis(count: b, stride: row)),
        combine(OffsetGather.axis(count: w, stride: 1), OffsetGather.axis(count: b, stride: column)),
      ])
      return try gather(x, context)
    }
  }

  static func combine(_ outer: [Int], _ inner: [Int]) -> [Int] { outer.flatMap { base in inner.map { base + $0 } } }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let block = try SpatialBlock(node)
    guard let x = inputs.extents(0), x.count == 4 else { return [InferredValue(inputs.elementType(0), extents: nil)] }
    let area = try CheckedSize.multiply(block.size, block.size)
    return [
      InferredValue(
        inputs.elementType(0),
        extents: [x[0], x[1].known.map { Extent($0 / area) } ?? .unknown, block.grown(x[2]), block.grown(x[3])])
    ]
  }

  static var quantization: QuantizationTraits { .movement }
}

/// Moves blocks of the two spatial axes into channels. Opsets 1, 13, 28 (`mode` from 28 on).
enum SpaceToDepth: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let block = try SpatialBlock(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let (n, c, h, w) = try block.extents(x)
      let b = block.size
      guard h % b == 0, w % b == 0 else { throw OperatorError("extents \(h) and \(w) are not divisible by \(b)") }
      _ = try CheckedSize.product([n, c, b, b])
      let channels = OffsetGather.axis(count: c, stride: h * w)
      let rows = OffsetGather.axis(count: b, stride: w)
      let columns = OffsetGather.axis(count: b, stride: 1)
      let blocks = DepthToSpace.combine(rows, columns)
      let gather = OffsetGather(tables: [
        OffsetGather.axis(count: n, stride: c * h * w),
        block.isColumnFirst ? DepthToSpace.combine(channels, blocks) : DepthToSpace.combine(blocks, channels),
        OffsetGather.axis(count: h / b, stride: b * w), OffsetGather.axis(count: w / b, stride: b),
      ])
      return try gather(x, context)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let block = try SpatialBlock(node)
    guard let x = inputs.extents(0), x.count == 4 else { return [InferredValue(inputs.elementType(0), extents: nil)] }
    let area = try CheckedSize.multiply(block.size, block.size)
    let channels = try x[1].known.map { Extent(try CheckedSize.multiply($0, area)) } ?? .unknown
    func shrunk(_ extent: Extent) -> Extent { extent.known.map { Extent($0 / block.size) } ?? .unknown }
    return [InferredValue(inputs.elementType(0), extents: [x[0], channels, shrunk(x[2]), shrunk(x[3])])]
  }

  static var quantization: QuantizationTraits { .movement }
}

private struct SpatialBlock {
  let size: Int
  /// CRD: the depth varies slowest.
  let isColumnFirst: Bool

  init(_ node: OperatorNode) throws {
    guard let size = try node.int("blocksize"), size >= 1, size < 1 << 20 else {
      throw OperatorError("attribute 'blocksize' must be a positive integer")
    }
    self.size = size
    switch try node.string("mode", default: "DCR") {
    case "DCR": isColumnFirst = false
    case "CRD": isColumnFirst = true
    case let other: throw OperatorError("attribute 'mode' is '\(other)', expected DCR or CRD")
    }
  }

  func extents(_ x: Tensor) throws -> (Int, Int, Int, Int) {
    try x.require(rank: 4, "input 0")
    return (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
  }

  func grown(_ extent: Extent) -> Extent {
    extent.known.map { Extent($0.multipliedReportingOverflow(by: size).partialValue) } ?? .unknown
  }
}
