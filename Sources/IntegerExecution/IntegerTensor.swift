import IntegerKernels
import ONNXTensor

/// A tensor of biased bytes. Convolutions and pools keep channels last: [N][spatial][C] for the shape [N, C, spatial].
struct IntegerTensor {
  /// The bytes in the order in which they lie.
  let bytes: Tensor
  /// The shape that the graph sees.
  let shape: [Int]
  let isChannelsLast: Bool

  init(_ bytes: Tensor, shape: [Int], isChannelsLast: Bool) {
    self.bytes = bytes
    self.shape = shape
    self.isChannelsLast = isChannelsLast
  }

  init(plain bytes: Tensor) { self.init(bytes, shape: bytes.shape, isChannelsLast: false) }

  var count: Int { bytes.count }

  /// The shape in the order in which the bytes lie.
  static func storedShape(_ shape: [Int], channelsLast: Bool) -> [Int] {
    channelsLast && shape.count > 2 ? [shape[0]] + shape[2...] + [shape[1]] : shape
  }

  private var spatialCount: Int { shape.dropFirst(2).reduce(1, *) }

  /// Both layouts are the same order of bytes.
  private var isLayoutFree: Bool { shape.count <= 2 || shape[1] == 1 || spatialCount == 1 }

  func plain(_ pool: BufferPool?) -> IntegerTensor {
    guard isChannelsLast else { return self }
    if isLayoutFree { return IntegerTensor(bytes.reshaped(shape), shape: shape, isChannelsLast: false) }
    let result = Tensor(of: UInt8.self, shape: shape, pool: pool) { out in
      bytes.withElements(UInt8.self) {
        transpose($0.baseAddress!, batch: shape[0], rows: spatialCount, columns: shape[1], into: out.baseAddress!)
      }
    }
    return IntegerTensor(result, shape: shape, isChannelsLast: false)
  }

  func channelsLast(_ pool: BufferPool?) -> IntegerTensor {
    guard !isChannelsLast else { return self }
    let stored = IntegerTensor.storedShape(shape, channelsLast: true)
    if isLayoutFree { return IntegerTensor(bytes.reshaped(stored), shape: shape, isChannelsLast: true) }
    let result = Tensor(of: UInt8.self, shape: stored, pool: pool) { out in
      bytes.withElements(UInt8.self) {
        transpose($0.baseAddress!, batch: shape[0], rows: shape[1], columns: spatialCount, into: out.baseAddress!)
      }
    }
    return IntegerTensor(result, shape: shape, isChannelsLast: true)
  }

  /// The tensor as the graph's integers: `int8` or `uint8`.
  func standard(_ type: ElementType, _ pool: BufferPool?) -> Tensor {
    let plain = plain(pool).bytes
    guard type == .int8 else { return plain }
    return Tensor(of: UInt8.self, as: .int8, shape: shape, pool: pool) { out in
      plain.withElements(UInt8.self) { flipSign($0.baseAddress!, count: plain.count, into: out.baseAddress!) }
    }
  }

  /// The graph's integers as biased bytes, in memory of their own: kernels read past the end of a tensor.
  init(standard tensor: Tensor, _ pool: BufferPool?) {
    let bytes = Tensor(of: UInt8.self, shape: tensor.shape, pool: pool) { out in
      tensor.withElements(UInt8.self) { x in
        if tensor.elementType == .int8 {
          flipSign(x.baseAddress!, count: tensor.count, into: out.baseAddress!)
        } else {
          _ = out.update(fromContentsOf: x)
        }
      }
    }
    self.init(plain: bytes)
  }

  /// Element by element, keeping the layout.
  func map(_ table: [UInt8], _ pool: BufferPool?) -> IntegerTensor {
    let result = Tensor(of: UInt8.self, shape: bytes.shape, pool: pool) { out in
      bytes.withElements(UInt8.self) { lookUp($0.baseAddress!, count: count, in: table, into: out.baseAddress!) }
    }
    return IntegerTensor(result, shape: shape, isChannelsLast: isChannelsLast)
  }
}
