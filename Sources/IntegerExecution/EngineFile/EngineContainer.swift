import ONNXFormat
import ONNXTensor

/// The container of an engine: a header, a table of sections, and the sections, each at a multiple of 64 bytes.
///
/// The table says where each section lies although its place follows from the sizes before it: a reader may jump, and a
/// file in which the two disagree is damaged.
enum EngineContainer {
  enum Section: UInt32, CaseIterable {
    case stamp = 1
    case strings = 2
    case tensors = 3
    case interface = 4
    case steps = 5
    case operators = 6
    case data = 7

    var name: String { String(describing: self) }
  }

  struct Entry {
    let section: Section
    let offset: Int
    let size: Int
    let hash: [UInt8]
  }

  /// Not text, so that a transfer in text mode is noticed.
  static let magic: [UInt8] = [0x89] + Array("ONNXQE\n".utf8)
  static let version: UInt32 = 1
  static let headerSize = 64
  static let entrySize = 64
  static let alignment = 64
  static let hashRange = 32..<64

  static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) & ~(alignment - 1) }

  /// The sections of a file, all inside it, in order, without overlap or gap.
  static func read(_ bytes: UnsafeRawBufferPointer) throws(EngineFileError) -> [Entry] {
    guard bytes.count >= magic.count, bytes.prefix(magic.count).elementsEqual(magic) else {
      throw EngineFileError(.notEngine, "is no engine file")
    }
    var cursor = EngineCursor(bytes, at: "header")
    _ = try cursor.take(magic.count)
    let version = try cursor.word()
    guard version == Self.version else {
      throw EngineFileError(.unsupported, "has version \(version); this onnxq reads version \(Self.version)")
    }
    let count = Int(try cursor.word())
    guard count == Section.allCases.count else { throw cursor.damaged("\(count) sections") }
    let size = try cursor.size()
    guard size == bytes.count else {
      throw cursor.damaged("the header says \(size) bytes, the file has \(bytes.count)")
    }
    guard try cursor.int64() == 0 else { throw cursor.damaged("a reserved field is used") }
    _ = try cursor.take(hashRange.count)
    var entries: [Entry] = []
    var end = headerSize + count * entrySize
    for section in Section.allCases {
      let kind = try cursor.word()
      guard kind == section.rawValue else { throw cursor.damaged("section \(kind) in the place of \(section.name)") }
      guard try cursor.word() == 0 else { throw cursor.damaged("a reserved field is used") }
      let offset = try cursor.size()
      let size = try cursor.size()
      guard try cursor.int64() == 0 else { throw cursor.damaged("a reserved field is used") }
      let hash = [UInt8](try cursor.take(32))
      guard offset == aligned(end), offset <= bytes.count, size <= bytes.count - offset else {
        throw cursor.damaged("section \(section.name) lies at \(offset) with \(size) bytes")
      }
      guard bytes[end..<offset].allSatisfy({ $0 == 0 }) else {
        throw cursor.damaged("the gap before section \(section.name) is not zero")
      }
      entries.append(Entry(section: section, offset: offset, size: size, hash: hash))
      end = offset + size
    }
    guard end == bytes.count else { throw cursor.damaged("\(bytes.count - end) bytes are left over") }
    return entries
  }

  /// The hash of header and table, taken with its own field zero.
  static func headerHash(_ header: UnsafeRawBufferPointer) -> [UInt8] {
    var bytes = [UInt8](header)
    for index in hashRange { bytes[index] = 0 }
    var hash = Sha256()
    hash.update(bytes)
    return hash.digest()
  }

  /// A file as pieces in order; `contents` are the pieces of each section.
  static func assemble(_ contents: [Section: [ByteView]]) -> [ByteView] {
    var header = magic
    header.put(version)
    header.put(word: Section.allCases.count)
    var table: [UInt8] = []
    var body: [ByteView] = []
    var end = headerSize + Section.allCases.count * entrySize
    for section in Section.allCases {
      let pieces = contents[section] ?? []
      let offset = aligned(end)
      let size = pieces.reduce(0) { $0 + $1.count }
      var hash = Sha256()
      for piece in pieces { hash.update(piece) }
      table.put(section.rawValue)
      table.put(UInt32(0))
      table.put(UInt64(offset))
      table.put(UInt64(size))
      table.put(UInt64(0))
      table += hash.digest()
      if offset > end { body.append(ByteView([UInt8](repeating: 0, count: offset - end))) }
      body += pieces
      end = offset + size
    }
    header.put(UInt64(end))
    header.put(UInt64(0))
    header += [UInt8](repeating: 0, count: hashRange.count)
    header += table
    header.replaceSubrange(hashRange, with: header.withUnsafeBytes { headerHash($0) })
    return [ByteView(header)] + body
  }
}
