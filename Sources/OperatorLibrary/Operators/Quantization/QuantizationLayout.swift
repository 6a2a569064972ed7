import ONNXTensor

/// Which scale belongs to which element: one for all, one per index of an axis, or one per block of an axis.
struct QuantizationLayout {
  /// The tensor seen as [outer][channels][inner], one scale per channel (and for `blocks` also per outer and inner).
  let outer: Int
  let channels: Int
  let inner: Int
  /// Elements along the axis that share a scale; nil where a scale serves a whole channel.
  let block: Int?
  /// Scales along the axis.
  let blockCount: Int

  init(shape: [Int], scale: Tensor, axis: Int, blockSize: Int) throws {
    guard blockSize >= 0 else { throw OperatorError("'block_size' is \(blockSize)") }
    if scale.count == 1 && (scale.rank <= 1 || blockSize == 0) {
      (outer, channels, inner, block, blockCount) = (1, 1, try ShapeArithmetic.count(shape), nil, 1)
      return
    }
    let axis = try ShapeArithmetic.axis(axis, rank: shape.count)
    let (before, extent, after) = ShapeArithmetic.split(shape, at: axis)
    (outer, channels, inner) = (before, extent, after)
    if blockSize == 0 {
      guard scale.rank == 1, scale.count == extent else {
        throw OperatorError("a scale of shape \(scale.shape) for axis \(axis) of shape \(shape)")
      }
      (block, blockCount) = (nil, extent)
    } else {
      var expected = shape
      expected[axis] = extent / blockSize + (extent % blockSize == 0 ? 0 : 1)
      guard scale.shape == expected else {
        throw OperatorError(
          "a scale of shape \(scale.shape) for blocks of \(blockSize) on axis \(axis) of shape \(shape)")
      }
      (block, blockCount) = (blockSize, expected[axis])
    }
  }

  /// The index of the scale of every element, in order.
  @inline(__always)
  func forEach(_ body: (_ element: Int, _ scale: Int) -> Void) {
    var element = 0
    for o in 0..<outer {
      for c in 0..<channels {
        if let block {
          let row = (o &* blockCount &+ c / block) &* inner
          for i in 0..<inner {
            body(element, row &+ i)
            element &+= 1
          }
        } else {
          for _ in 0..<inner {
            body(element, c)
            element &+= 1
          }
        }
      }
    }
  }
}

extension ElementType {
  /// Smallest and largest value of an integer type that tensors are quantized to.
  var quantizedRange: ClosedRange<Int>? {
    switch self {
    case .uint8: 0...255
    case .int8: -128...127
    case .uint16: 0...65535
    case .int16: -32768...32767
    case .uint4: 0...15
    case .int4: -8...7
    case .uint2: 0...3
    case .int2: -2...1
    default: nil
    }
  }
}
