import ONNXTensor

/// A rearrangement of elements of any type: output element (i, j, ...) is the source element at the sum of one table
/// entry for each axis, or zero (an empty string) where an entry is negative.
struct OffsetGather {
  /// For each output axis, source offsets by index.
  let tables: [[Int]]
  var shape: [Int] { tables.map(\.count) }

  static let fill = -1

  /// An axis that is walked with an even stride.
  static func axis(count: Int, stride: Int) -> [Int] { (0..<count).map { $0 * stride } }

  func callAsFunction(_ x: Tensor, _ context: EvaluationContext) throws -> Tensor {
    try CheckedSize.check(shape, of: x.elementType)
    if let strings = x.strings {
      var result = [[UInt8]](repeating: [], count: extent(shape))
      strings.withUnsafeBufferPointer { source in result.withUnsafeMutableBufferPointer { copy(source, $0, []) } }
      return Tensor(strings: result, shape: shape)
    }
    switch x.elementType.bitWidth {
    case 8: return try elements(of: UInt8.self, x, zero: 0, context)
    case 16: return try elements(of: UInt16.self, x, zero: 0, context)
    case 32: return try elements(of: UInt32.self, x, zero: 0, context)
    case 64: return try elements(of: UInt64.self, x, zero: 0, context)
    case 128:
      return try context.tensor(of: UInt64.self, as: .complex64, shape: shape + [2]) { target in
        x.withBytes { bytes in
          target.withMemoryRebound(to: Pair.self) { copy(bytes.bindMemory(to: Pair.self), $0, Pair(low: 0, high: 0)) }
        }
      }.complex128(shape)
    default:
      let codes = x.storedCodes
      var result = [UInt8](repeating: 0, count: extent(shape))
      codes.withUnsafeBufferPointer { source in result.withUnsafeMutableBufferPointer { copy(source, $0, 0) } }
      return Tensor(codes: result, elementType: x.elementType, shape: shape)
    }
  }

  private struct Pair {
    var low: UInt64
    var high: UInt64
  }

  private func elements<T: TensorElement>(
    of type: T.Type, _ x: Tensor, zero: T, _ context: EvaluationContext
  ) throws -> Tensor {
    try context.tensor(of: T.self, as: x.elementType, shape: shape) { target in
      x.withElements(T.self) { copy($0, target, zero) }
    }
  }

  private func copy<T>(_ source: UnsafeBufferPointer<T>, _ target: UnsafeMutableBufferPointer<T>, _ zero: T) {
    guard target.count > 0 else { return }
    guard let last = tables.last else {
      target[0] = source[0]
      return
    }
    let outer = Array(shape.dropLast())
    var index = [Int](repeating: 0, count: outer.count)
    var next = 0
    last.withUnsafeBufferPointer { last in
      repeat {
        var base = 0
        var isFill = false
        for axis in outer.indices {
          let offset = tables[axis][index[axis]]
          if offset < 0 { isFill = true }
          base += offset
        }
        for offset in last {
          target[next] = isFill || offset < 0 ? zero : source[base + offset]
          next += 1
        }
      } while advance(&index, in: outer)
    }
  }
}

extension Tensor {
  fileprivate func complex128(_ shape: [Int]) -> Tensor {
    Tensor(elementType: .complex128, shape: shape, storage: storage, byteOffset: byteOffset)
  }
}
