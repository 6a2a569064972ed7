extension Tensor {
  package func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withExtendedLifetime(storage) {
      try body(UnsafeRawBufferPointer(start: storage.base + byteOffset, count: byteCount))
    }
  }

  /// The elements viewed as `T`, whose width must be the element type's.
  package func withElements<T: TensorElement, R>(
    _ type: T.Type, _ body: (UnsafeBufferPointer<T>) throws -> R
  ) rethrows -> R {
    precondition(
      MemoryLayout<T>.size * 8 == elementType.bitWidth, "a tensor of \(elementType.name) viewed as \(T.self)")
    return try withBytes { try body($0.bindMemory(to: T.self)) }
  }

  /// A copy of the elements viewed as `T`.
  package func array<T: TensorElement>(_ type: T.Type = T.self) -> [T] { withElements(T.self) { Array($0) } }

  /// The elements of an integer or bool tensor, packed types unpacked; nil for other types.
  /// uint64 values above `Int64.max` are clamped.
  package var integers: [Int]? {
    switch elementType {
    case .int64: array(Int64.self).map(Int.init)
    case .int32: array(Int32.self).map(Int.init)
    case .int16: array(Int16.self).map(Int.init)
    case .int8: array(Int8.self).map(Int.init)
    case .uint64: array(UInt64.self).map { Int(clamping: $0) }
    case .uint32: array(UInt32.self).map(Int.init)
    case .uint16: array(UInt16.self).map(Int.init)
    case .uint8, .bool: array(UInt8.self).map(Int.init)
    case .int4, .uint4, .int2, .uint2: unpackedIntegers()
    default: nil
    }
  }

  private func unpackedIntegers() -> [Int] {
    let bits = elementType.bitWidth
    let perByte = 8 / bits
    let mask = UInt8((1 << bits) - 1)
    let isSigned = elementType == .int4 || elementType == .int2
    return withBytes { bytes in
      (0..<count).map { index in
        let field = Int(bytes[index / perByte] >> UInt8(index % perByte * bits) & mask)
        return isSigned && field >= 1 << (bits - 1) ? field - (1 << bits) : field
      }
    }
  }

  /// The elements of a real-valued tensor as Float (float64 and integers rounded); nil for strings and complex.
  package var floats: [Float]? {
    switch elementType {
    case .float32: array(Float.self)
    case .float64: array(Double.self).map(Float.init)
    case .float16: array(Float16.self).map(Float.init)
    case .bfloat16: array(BFloat16.self).map(\.float)
    case .float8E4M3FN, .float8E4M3FNUZ, .float8E5M2, .float8E5M2FNUZ, .float8E8M0, .float4E2M1, .float6E2M3,
      .float6E3M2:
      MinifloatFormat(elementType).map { format in storedCodes.map { format.decode($0) } }
    default: integers?.map(Float.init)
    }
  }

  /// The codes of a type of at most 8 bits, one a byte.
  package var storedCodes: [UInt8] {
    let bits = elementType.bitWidth
    guard bits < 8 else { return array(UInt8.self) }
    let perByte = 8 / bits
    return withBytes { bytes in
      (0..<count).map { bytes[$0 / perByte] >> UInt8($0 % perByte * bits) & UInt8((1 << bits) - 1) }
    }
  }

  /// Packs one code a byte into a tensor of a type of at most 8 bits.
  package init(codes: [UInt8], elementType: ElementType, shape: [Int]) {
    let bits = elementType.bitWidth
    self.init(elementType, shape: shape) { bytes in
      guard bits < 8 else { return bytes.copyBytes(from: codes) }
      let perByte = 8 / bits
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      for (index, code) in codes.enumerated() {
        bytes[index / perByte] |= (code & UInt8((1 << bits) - 1)) << UInt8(index % perByte * bits)
      }
    }
  }
}
