/// Reads little-endian numbers from bytes that nobody trusts.
struct EngineCursor {
  let bytes: UnsafeRawBufferPointer
  let location: String
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer, at location: String) {
    self.bytes = bytes
    self.location = location
  }

  var remaining: Int { bytes.count - offset }

  func damaged(_ message: String) -> EngineFileError {
    EngineFileError(.damaged, "\(message), at byte \(offset)", at: location)
  }

  private mutating func integer<T: FixedWidthInteger>(_: T.Type) throws(EngineFileError) -> T {
    guard remaining >= MemoryLayout<T>.size else { throw damaged("the section ends inside a number") }
    defer { offset += MemoryLayout<T>.size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }

  mutating func word() throws(EngineFileError) -> UInt32 { try integer(UInt32.self) }
  mutating func int32() throws(EngineFileError) -> Int32 { try integer(Int32.self) }
  mutating func int64() throws(EngineFileError) -> Int64 { try integer(Int64.self) }
  mutating func float() throws(EngineFileError) -> Float { Float(bitPattern: try integer(UInt32.self)) }

  /// A 64-bit size or offset.
  mutating func size() throws(EngineFileError) -> Int {
    let value = try integer(UInt64.self)
    guard let size = Int(exactly: value) else { throw damaged("a size of \(value) makes no sense") }
    return size
  }

  /// The number of items that follow, each of at least `size` bytes.
  mutating func count(ofAtLeast size: Int) throws(EngineFileError) -> Int {
    let count = Int(try word())
    guard count <= remaining / size else { throw damaged("\(count) items do not fit the section") }
    return count
  }

  mutating func flag() throws(EngineFileError) -> Bool {
    let value = try word()
    guard value <= 1 else { throw damaged("a flag is \(value)") }
    return value == 1
  }

  mutating func take(_ count: Int) throws(EngineFileError) -> UnsafeRawBufferPointer {
    guard count >= 0, count <= remaining else { throw damaged("\(count) bytes do not fit the section") }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  func finish() throws(EngineFileError) {
    guard remaining == 0 else { throw damaged("\(remaining) bytes are left over") }
  }
}

extension [UInt8] {
  mutating func put(_ value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
  mutating func put(_ value: Float) { put(value.bitPattern) }
  mutating func put(word value: Int) { put(UInt32(truncatingIfNeeded: value)) }
}
