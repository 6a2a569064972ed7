import CZlib
import ONNXFormat
import ONNXTensor

/// The members of a zip file, as `.npz` is one: stored or deflated, zip64 too.
struct ZipArchive {
  struct Member {
    var name: String
    var isDeflated: Bool
    var compressed: Range<Int>
    var count: Int
    var checksum: UInt32
  }

  let path: String
  let members: [Member]
  private let file: FileMapping

  init(path: String) throws(DataError) {
    try self.init(mapFile(path))
  }

  private init(_ file: FileMapping) throws(DataError) {
    self.file = file
    path = file.path
    members = try DirectoryReader(bytes: file.bytes, path: file.path).members()
  }

  /// What a member holds. Stored ones are checked against their checksum here, deflated ones when read to their end.
  func open(_ member: Member) throws(DataError) -> any ByteSource {
    let view = ByteView(UnsafeRawBufferPointer(rebasing: file.bytes[member.compressed]), owner: file)
    let location = "\(path):\(member.name)"
    if member.isDeflated {
      return InflatedBytes(view, count: member.count, checksum: member.checksum, location: location)
    }
    let checksum = crc32_z(0, view.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), view.count)
    guard checksum == UInt(member.checksum) else {
      throw DataError(.damaged, "its checksum is wrong", at: location)
    }
    return MappedBytes(view)
  }
}

private struct DirectoryReader {
  let bytes: UnsafeRawBufferPointer
  let path: String

  private func number(_ offset: Int, _ width: Int) throws(DataError) -> Int {
    guard offset >= 0, offset <= bytes.count - width else { throw damaged("is cut off") }
    var value: UInt64 = 0
    for index in 0..<width { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
    guard let result = Int(exactly: value) else { throw damaged("has impossible sizes") }
    return result
  }

  private func damaged(_ message: String) -> DataError {
    DataError(.damaged, "\(message): not a sound zip archive (.npz)", at: path)
  }

  func members() throws(DataError) -> [ZipArchive.Member] {
    let (start, count) = try directory()
    var result: [ZipArchive.Member] = []
    var offset = start
    for _ in 0..<count {
      guard try number(offset, 4) == 0x0201_4b50 else { throw damaged("its directory is damaged") }
      let flags = try number(offset + 8, 2)
      let method = try number(offset + 10, 2)
      let checksum = try number(offset + 16, 4)
      var sizes = [try number(offset + 24, 4), try number(offset + 20, 4), try number(offset + 42, 4)]
      let nameLength = try number(offset + 28, 2)
      let extraLength = try number(offset + 30, 2)
      let commentLength = try number(offset + 32, 2)
      let nameStart = offset + 46
      let extraStart = nameStart + nameLength
      guard extraStart + extraLength + commentLength <= bytes.count else { throw damaged("is cut off") }
      let name = String(decoding: bytes[nameStart..<extraStart], as: UTF8.self)
      try widen(&sizes, extra: extraStart..<extraStart + extraLength)
      if flags & 1 != 0 { throw DataError(.damaged, "is encrypted", at: "\(path):\(name)") }
      guard method == 0 || method == 8 else {
        throw DataError(
          .mismatch, "is compressed by method \(method); only stored and deflated members are read",
          at: "\(path):\(name)")
      }
      let header = sizes[2]
      guard try number(header, 4) == 0x0403_4b50 else { throw damaged("its member \(name) is damaged") }
      let data = header + 30 + (try number(header + 26, 2)) + (try number(header + 28, 2))
      let (end, overflow) = data.addingReportingOverflow(sizes[1])
      guard !overflow, end <= bytes.count, method == 8 || sizes[0] == sizes[1] else { throw damaged("is cut off") }
      // Deflate shrinks at most 1032-fold.
      guard sizes[0] / 1032 <= sizes[1] + 1 else { throw damaged("its member \(name) claims an impossible size") }
      if !name.hasSuffix("/") {
        result.append(
          .init(
            name: name, isDeflated: method == 8, compressed: data..<end, count: sizes[0], checksum: UInt32(checksum)))
      }
      offset = extraStart + extraLength + commentLength
    }
    return result
  }

  /// Sizes of all ones stand in the zip64 field, in this order, only those that are missing.
  private func widen(_ sizes: inout [Int], extra: Range<Int>) throws(DataError) {
    var offset = extra.lowerBound
    while offset + 4 <= extra.upperBound {
      let (tag, length) = (try number(offset, 2), try number(offset + 2, 2))
      if tag == 1 {
        var field = offset + 4
        for index in sizes.indices where sizes[index] == 0xFFFF_FFFF {
          guard field + 8 <= offset + 4 + length else { throw damaged("its directory is damaged") }
          sizes[index] = try number(field, 8)
          field += 8
        }
      }
      offset += 4 + length
    }
  }

  private func directory() throws(DataError) -> (start: Int, count: Int) {
    guard bytes.count >= 22 else { throw damaged("is cut off") }
    var end = bytes.count - 22
    let last = max(0, end - 65535)
    while try number(end, 4) != 0x0605_4b50 {
      guard end > last else { throw damaged("has no directory") }
      end -= 1
    }
    var (count, start) = (try number(end + 10, 2), try number(end + 16, 4))
    if end >= 20, try number(end - 20, 4) == 0x0706_4b50 {
      let wide = try number(end - 12, 8)
      guard try number(wide, 4) == 0x0606_4b50 else { throw damaged("its zip64 directory is damaged") }
      (count, start) = (try number(wide + 32, 8), try number(wide + 48, 8))
    }
    // A directory entry takes at least 46 bytes.
    guard count <= bytes.count / 46 else { throw damaged("claims \(count) members") }
    return (start, count)
  }
}
