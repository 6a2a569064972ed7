import ONNXTensor

/// NumPy's `.npy` format, version 1.0, little-endian, C order.
enum NpyWriter {
  /// The file's bytes; nil for element types that NumPy has no name for (they can be cast first).
  static func encode(_ tensor: Tensor) -> [UInt8]? {
    guard let descriptor = descriptor(tensor.elementType) else { return nil }
    let shape = tensor.shape.map(String.init).joined(separator: ", ") + (tensor.rank == 1 ? "," : "")
    var header = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(shape)), }"
    // The magic, version, length and header take a multiple of 64 bytes.
    let unpadded = 10 + header.utf8.count + 1
    header += String(repeating: " ", count: (64 - unpadded % 64) % 64) + "\n"
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0]
    bytes += [UInt8(header.utf8.count & 0xFF), UInt8(header.utf8.count >> 8)]
    bytes += Array(header.utf8)
    tensor.withBytes { bytes += Array($0) }
    return bytes
  }

  private static func descriptor(_ type: ElementType) -> String? {
    switch type {
    case .float32: "<f4"
    case .float64: "<f8"
    case .float16: "<f2"
    case .int8: "|i1"
    case .uint8: "|u1"
    case .bool: "|b1"
    case .int16: "<i2"
    case .uint16: "<u2"
    case .int32: "<i4"
    case .uint32: "<u4"
    case .int64: "<i8"
    case .uint64: "<u8"
    case .complex64: "<c8"
    case .complex128: "<c16"
    default: nil
    }
  }
}
