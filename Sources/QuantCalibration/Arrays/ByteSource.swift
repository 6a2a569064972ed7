import CZlib
import ONNXTensor

/// Bytes that can be read piece by piece: in memory or in a mapped file, or compressed.
protocol ByteSource: AnyObject {
  var count: Int { get }
  /// The bytes `range`; cheapest in ascending order.
  func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws(DataError)
}

final class MappedBytes: ByteSource {
  private let view: ByteView

  init(_ view: ByteView) { self.view = view }

  var count: Int { view.count }

  func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws(DataError) {
    withExtendedLifetime(view.owner) {
      target.copyMemory(from: UnsafeRawBufferPointer(rebasing: view.bytes[range]))
    }
  }
}

/// A deflated stream, inflated as it is read and from the start again when a read goes back. Keeps no more than a buffer,
/// whatever the size of what it holds.
final class InflatedBytes: ByteSource {
  let count: Int
  private let compressed: ByteView
  private let expectedChecksum: UInt32
  private let location: String
  private let stream: UnsafeMutablePointer<z_stream>
  private var isOpen = false
  private var position = 0
  private var checksum: UInt = 0
  private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)

  init(_ compressed: ByteView, count: Int, checksum: UInt32, location: String) {
    self.compressed = compressed
    self.count = count
    expectedChecksum = checksum
    self.location = location
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
  }

  deinit {
    if isOpen { inflateEnd(stream) }
    stream.deinitialize(count: 1)
    stream.deallocate()
    scratch.deallocate()
  }

  func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws(DataError) {
    if !isOpen || range.lowerBound < position { try rewind() }
    while position < range.lowerBound {
      let step = min(scratch.count, range.lowerBound - position)
      try inflateNext(UnsafeMutableRawBufferPointer(rebasing: scratch[..<step]))
    }
    try inflateNext(target)
  }

  private func rewind() throws(DataError) {
    if isOpen { inflateEnd(stream) }
    stream.pointee = z_stream()
    // -15: no header, as zip keeps its streams.
    guard inflateInit2_(stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw DataError(.file, "cannot be inflated: out of memory", at: location)
    }
    isOpen = true
    position = 0
    checksum = crc32(0, nil, 0)
    stream.pointee.next_in = UnsafeMutablePointer(
      mutating: compressed.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    remaining = compressed.count
    feed()
  }

  private var remaining = 0

  private func feed() {
    let step = min(remaining, 1 << 30)
    stream.pointee.avail_in = UInt32(step)
    remaining -= step
  }

  private func inflateNext(_ target: UnsafeMutableRawBufferPointer) throws(DataError) {
    var written = 0
    while written < target.count {
      let step = min(target.count - written, 1 << 30)
      stream.pointee.next_out = target.baseAddress.map { ($0 + written).assumingMemoryBound(to: UInt8.self) }
      stream.pointee.avail_out = UInt32(step)
      if stream.pointee.avail_in == 0 && remaining > 0 { feed() }
      let code = inflate(stream, Z_NO_FLUSH)
      let produced = step - Int(stream.pointee.avail_out)
      checksum = crc32(
        checksum, target.baseAddress.map { ($0 + written).assumingMemoryBound(to: UInt8.self) }, UInt32(produced))
      written += produced
      if code != Z_OK && !(code == Z_STREAM_END && written == target.count) {
        isOpen = false
        inflateEnd(stream)
        throw DataError(.damaged, "its compressed data is damaged", at: location)
      }
    }
    position += target.count
    if position == count && checksum != UInt(expectedChecksum) {
      throw DataError(.damaged, "its checksum is wrong", at: location)
    }
  }
}
