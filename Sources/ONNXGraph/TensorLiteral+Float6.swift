import ONNXTensor

/// The 6-bit floats: four elements to three bytes in files, one to a byte in tensors.
extension ElementType {
  var isFloat6: Bool { self == .float6E2M3 || self == .float6E3M2 }

  /// Bytes of `count` elements in `raw_data`; nil on overflow.
  package func rawByteCount(elements count: Int) -> Int? {
    guard isFloat6 else { return byteCount(elements: count) }
    let (bits, overflow) = count.multipliedReportingOverflow(by: 6)
    guard count >= 0, !overflow, bits <= Int.max - 7 else { return nil }
    return (bits + 7) / 8
  }
}

/// Codes from a stream of 6-bit fields, lowest bits first. `bytes` holds at least `count` of them.
func unpackFloat6(_ bytes: UnsafeRawBufferPointer, count: Int) -> [UInt8] {
  (0..<count).map { index in
    let bit = 6 * index
    let low = UInt16(bytes[bit / 8])
    let high = bit / 8 + 1 < bytes.count ? UInt16(bytes[bit / 8 + 1]) : 0
    return UInt8((low | high << 8) >> UInt16(bit % 8) & 0x3F)
  }
}

func packFloat6(_ codes: [UInt8]) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: (codes.count * 6 + 7) / 8)
  for (index, code) in codes.enumerated() {
    let bit = 6 * index
    let field = UInt16(code & 0x3F) << UInt16(bit % 8)
    bytes[bit / 8] |= UInt8(truncatingIfNeeded: field)
    if field > 0xFF { bytes[bit / 8 + 1] |= UInt8(field >> 8) }
  }
  return bytes
}
