import CZlib

/// A ZIP archive of stored members, as NumPy writes `.npz`; with ZIP64 fields where a member or offset needs them.
package enum ArchiveWriter {
  /// The archive in pieces to be written one after another. Names and order as given; no times, so equal members give
  /// equal bytes.
  package static func encode(_ members: [(name: String, bytes: [UInt8])]) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var directory: [UInt8] = []
    var offset: UInt64 = 0
    for member in members {
      let name = Array(member.name.utf8)
      let checksum = crc(member.bytes)
      let size = UInt64(member.bytes.count)
      // NumPy itself always writes the 64-bit sizes.
      var local = little(UInt32(0x0403_4B50)) + common(checksum, nameLength: name.count, extraLength: 20)
      local += name + little(UInt16(1)) + little(UInt16(16)) + little(size) + little(size)
      directory += little(UInt32(0x0201_4B50)) + little(UInt16(45))
      directory += common(checksum, nameLength: name.count, extraLength: 28)
      directory += little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt32(0)) + little(UInt32.max)
      directory += name + little(UInt16(1)) + little(UInt16(24)) + little(size) + little(size) + little(offset)
      offset += UInt64(local.count) + size
      pieces.append(local)
      pieces.append(member.bytes)
    }
    let count = UInt64(members.count)
    let length = UInt64(directory.count)
    var end = directory
    end += little(UInt32(0x0606_4B50)) + little(UInt64(44)) + little(UInt16(45)) + little(UInt16(45))
    end += little(UInt32(0)) + little(UInt32(0)) + little(count) + little(count) + little(length) + little(offset)
    end += little(UInt32(0x0706_4B50)) + little(UInt32(0)) + little(offset + length) + little(UInt32(1))
    end += little(UInt32(0x0605_4B50)) + little(UInt16(0)) + little(UInt16(0))
    let short = UInt16(clamping: count)
    end += little(short) + little(short) + little(UInt32.max) + little(UInt32.max) + little(UInt16(0))
    pieces.append(end)
    return pieces
  }

  /// From "version needed" to the length of the extra field; sizes are in the extra field, the date is 1980-01-01.
  private static func common(_ checksum: UInt32, nameLength: Int, extraLength: UInt16) -> [UInt8] {
    little(UInt16(45)) + little(UInt16(0x0800)) + little(UInt16(0)) + little(UInt16(0)) + little(UInt16(0x21))
      + little(checksum) + little(UInt32.max) + little(UInt32.max) + little(UInt16(clamping: nameLength))
      + little(extraLength)
  }

  private static func crc(_ bytes: [UInt8]) -> UInt32 {
    var value = crc32(0, nil, 0)
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = rest.prefix(1 << 30)
      value = part.withUnsafeBytes { crc32(value, $0.bindMemory(to: UInt8.self).baseAddress, UInt32(part.count)) }
      rest = rest.dropFirst(part.count)
    }
    return UInt32(truncatingIfNeeded: value)
  }

  private static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
}
