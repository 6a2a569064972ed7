import ONNXFormat
import QuantCore

/// Reads the parts of a `.calib` file; every count is checked against the bytes that are left.
struct StatisticsReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  /// Histogram pages read so far; each takes 2 KiB in memory and as little as four bytes in the file.
  private var pages = 0
  private var largestPageCount: Int { (1 << 16) + bytes.count / 64 }
  private let location: String

  init(_ bytes: UnsafeRawBufferPointer, location: String) {
    self.bytes = bytes
    self.location = location
  }

  var remaining: Int { bytes.count - position }

  func damaged(_ message: String) -> DataError {
    DataError(.damaged, "is a damaged statistics file: \(message)", at: location, advice: "calibrate again")
  }

  mutating func byte() throws(DataError) -> UInt8 {
    guard position < bytes.count else { throw damaged("it is cut off") }
    position += 1
    return bytes[position - 1]
  }

  mutating func fixed<T: FixedWidthInteger>(_ type: T.Type) throws(DataError) -> T {
    let width = MemoryLayout<T>.size
    guard remaining >= width else { throw damaged("it is cut off") }
    position += width
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position - width, as: T.self))
  }

  mutating func float() throws(DataError) -> Float { Float(bitPattern: try fixed(UInt32.self)) }

  mutating func number() throws(DataError) -> UInt64 {
    var result: UInt64 = 0
    for shift in stride(from: UInt64(0), through: 63, by: 7) {
      let next = try byte()
      if shift == 63 && next > 1 { break }
      result |= UInt64(next & 0x7F) << shift
      if next < 0x80 {
        if next == 0 && shift > 0 { break }
        return result
      }
    }
    throw damaged("a number is malformed")
  }

  mutating func signed() throws(DataError) -> Int {
    let value = try number()
    return Int(Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1))
  }

  /// A count of things that take at least `bytesEach` bytes.
  mutating func count(bytesEach: Int = 1) throws(DataError) -> Int {
    let value = try number()
    guard value <= UInt64(remaining / max(bytesEach, 1)) else { throw damaged("it claims \(value) entries") }
    return Int(value)
  }

  mutating func raw(_ count: Int) throws(DataError) -> [UInt8] {
    guard count >= 0, count <= remaining else { throw damaged("it is cut off") }
    position += count
    return Array(bytes[position - count..<position])
  }

  mutating func text() throws(DataError) -> String {
    let utf8 = try raw(count())
    guard let text = String(validating: utf8, as: UTF8.self) else { throw damaged("a name is not UTF-8") }
    return text
  }

  mutating func end() throws(DataError) {
    if remaining > 0 { throw damaged("\(remaining) bytes are left over") }
  }

  mutating func tensor() throws(DataError) -> TensorStatistics {
    var result = TensorStatistics()
    result.count = try number()
    result.zeros = try number()
    result.nans = try number()
    result.positiveInfinities = try number()
    result.negativeInfinities = try number()
    result.minimum = try float()
    result.maximum = try float()
    let isEmpty = result.minimum == .infinity && result.maximum == -.infinity
    guard isEmpty || (result.minimum.isFinite && result.maximum.isFinite && result.minimum <= result.maximum) else {
      throw damaged("a range is impossible")
    }
    result.histogram = try histogram()
    var seen = result.histogram.total
    for part in [result.zeros, result.nans, result.positiveInfinities, result.negativeInfinities] {
      seen = seen.flatMap { sum in
        let (next, overflow) = sum.addingReportingOverflow(part)
        return overflow ? nil : next
      }
    }
    guard let seen, seen <= result.count, isEmpty == (result.nonFinite == result.count) else {
      throw damaged("counts do not add up")
    }
    guard isEmpty ? seen == result.nonFinite : result.histogram.agrees(minimum: result.minimum, maximum: result.maximum)
    else { throw damaged("a histogram does not fit its range") }
    for _ in 0..<(try count()) {
      let rank = try count(bytesEach: 2)
      var lowest: [Int] = []
      var highest: [Int] = []
      for _ in 0..<rank {
        let low = try number()
        let (high, overflow) = low.addingReportingOverflow(try number())
        guard !overflow, high <= UInt64(Int.max) else { throw damaged("a shape is impossible") }
        lowest.append(Int(low))
        highest.append(Int(high))
      }
      guard rank > (result.shapes.last?.lowest.count ?? -1),
        let shape = TensorStatistics.ShapeBounds(lowest: lowest, highest: highest)
      else { throw damaged("shapes are out of order") }
      result.shapes.append(shape)
    }
    for _ in 0..<(try count()) {
      let axis = try signed()
      guard axis > (result.channels.last?.axis ?? .min) else { throw damaged("axes are out of order") }
      result.channels.append(ChannelStatistics(axis: axis, contents: try channels()))
    }
    return result
  }

  private mutating func histogram() throws(DataError) -> FloatHistogram {
    var result: [FloatHistogram.Page] = []
    var key = -1
    let pageCount = try count(bytesEach: 4)
    pages += pageCount
    guard pageCount <= FloatHistogram.pageCount, pages <= largestPageCount else {
      throw damaged("it claims \(pages) histogram pages")
    }
    for _ in 0..<pageCount {
      let step = try number()
      guard step < UInt64(FloatHistogram.pageCount - key - 1) else { throw damaged("a histogram page is impossible") }
      key += Int(step) + 1
      var counts = [UInt64](repeating: 0, count: FloatHistogram.binsPerPage)
      var index = -1
      for _ in 0..<(try count(bytesEach: 2)) {
        let step = try number()
        guard step < UInt64(FloatHistogram.binsPerPage - index - 1) else { throw damaged("a bin is impossible") }
        index += Int(step) + 1
        counts[index] = try number()
        guard counts[index] > 0 else { throw damaged("a bin is empty") }
      }
      result.append(FloatHistogram.Page(key: UInt16(key), counts: counts))
    }
    guard let histogram = FloatHistogram(pages: result) else { throw damaged("a histogram is impossible") }
    return histogram
  }

  private mutating func channels() throws(DataError) -> ChannelStatistics.Contents {
    switch try number() {
    case 0: return .none
    case 1: return .inconsistent
    case 2: break
    default: throw damaged("a kind of channels is unknown")
    }
    // Two floats and at least two bytes for each of two sums.
    let channelCount = try count(bytesEach: 12)
    let elements = try number()
    var minima: [Float] = []
    var maxima: [Float] = []
    for _ in 0..<channelCount { minima.append(try float()) }
    for _ in 0..<channelCount { maxima.append(try float()) }
    guard !minima.contains(where: \.isNaN), !maxima.contains(where: \.isNaN) else {
      throw damaged("a channel's range is impossible")
    }
    let sums = try self.sums(channelCount)
    let squares = try self.sums(channelCount)
    guard
      let channels = ChannelStatistics.Channels(
        elements: elements, minima: minima, maxima: maxima, sums: sums, squares: squares)
    else { throw damaged("channels do not add up") }
    return .channels(channels)
  }

  private mutating func sums(_ channelCount: Int) throws(DataError) -> ExactSums {
    var limbs: [UInt64] = []
    limbs.reserveCapacity(channelCount * ExactSums.limbCount)
    var invalid: [UInt64] = []
    for _ in 0..<channelCount {
      invalid.append(try number())
      limbs += try sum()
    }
    guard let sums = ExactSums(limbs: limbs, invalid: invalid) else { throw damaged("channels do not add up") }
    return sums
  }

  private mutating func sum() throws(DataError) -> [UInt64] {
    let size = 8 * ExactSums.limbCount
    let length = try count()
    if length == 0 { return [UInt64](repeating: 0, count: ExactSums.limbCount) }
    let first = Int(clamping: try number())
    guard first < size, length <= size - first else { throw damaged("a sum is impossible") }
    let stored = try raw(length)
    let sign: UInt8 = stored[length - 1] & 0x80 == 0 ? 0 : 0xFF
    let all = [UInt8](repeating: 0, count: first) + stored + [UInt8](repeating: sign, count: size - first - length)
    var limbs = [UInt64](repeating: 0, count: ExactSums.limbCount)
    for (index, byte) in all.enumerated() { limbs[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8) }
    return limbs
  }
}

extension StatisticsFile {
  package init(path: String) throws(DataError) {
    let file = try mapFile(path)
    try self.init(decoding: file.bytes, location: path)
    withExtendedLifetime(file) {}
  }

  /// Whether a file begins as statistics do, of this version or of another.
  package static func isStatistics(path: String) -> Bool {
    guard let file = try? mapFile(path) else { return false }
    return file.bytes.prefix(magic.count).elementsEqual(magic)
  }

  /// - Throws: for anything that `encoded` does not write.
  package init(decoding bytes: UnsafeRawBufferPointer, location: String) throws(DataError) {
    var header = StatisticsReader(bytes, location: location)
    guard bytes.starts(with: Self.magic) else {
      throw DataError(
        .damaged, bytes.isEmpty ? "is empty" : "is not a statistics file", at: location,
        advice: "'onnxq calibrate' writes one")
    }
    _ = try header.raw(Self.magic.count)
    let version = try header.fixed(UInt32.self)
    guard version == Self.version else {
      throw DataError(
        .damaged, "is a statistics file of version \(version); this program reads version \(Self.version)",
        at: location,
        advice: "calibrate again")
    }
    let reserved = try header.fixed(UInt32.self)
    let contentSize = try header.fixed(UInt64.self)
    let noteSize = try header.fixed(UInt64.self)
    let contentHash = try header.raw(32)
    let (body, overflow) = contentSize.addingReportingOverflow(noteSize)
    guard reserved == 0, !overflow, header.remaining >= 32, body == UInt64(header.remaining - 32) else {
      throw header.damaged("its size is wrong")
    }
    let noteStart = Self.headerSize + Int(contentSize)
    let end = noteStart + Int(noteSize)
    var hash = Sha256()
    hash.update(UnsafeRawBufferPointer(rebasing: bytes[..<end]))
    guard hash.digest() == Array(bytes[end...]) else { throw header.damaged("its checksum is wrong") }
    hash.update(UnsafeRawBufferPointer(rebasing: bytes[Self.headerSize..<noteStart]))
    guard hash.digest() == contentHash else { throw header.damaged("the checksum of its content is wrong") }
    let content = UnsafeRawBufferPointer(rebasing: bytes[Self.headerSize..<noteStart])
    try self.init(decodingContent: content, location: location)
    var reader = StatisticsReader(UnsafeRawBufferPointer(rebasing: bytes[noteStart..<end]), location: location)
    note.dataPath = try reader.text()
    note.labelsPath = try reader.text()
    note.toolVersion = try reader.text()
    let completed = try reader.number()
    note.completed = completed == 0 ? nil : completed - 1
    try reader.end()
  }

  init(decodingContent content: UnsafeRawBufferPointer, location: String) throws(DataError) {
    var reader = StatisticsReader(content, location: location)
    self.init(modelSHA256: try reader.text(), parts: [], statistics: ModelStatistics())
    preprocessing = try reader.text()
    for _ in 0..<(try reader.count(bytesEach: 4)) {
      let fingerprint = try reader.text()
      let total = try reader.number()
      let shardCount = try reader.number()
      var shards: [UInt64] = []
      for _ in 0..<(try reader.count()) { shards.append(try reader.number()) }
      guard !shards.isEmpty, zip(shards, shards.dropFirst()).allSatisfy(<), shards.allSatisfy({ $0 < shardCount }),
        parts.last.map({ $0.fingerprint.utf8.lexicographicallyPrecedes(fingerprint.utf8) }) ?? true
      else { throw reader.damaged("its shards are impossible") }
      parts.append(Part(fingerprint: fingerprint, total: total, shardCount: shardCount, shards: shards))
    }
    for _ in 0..<(try reader.count()) { skipped.append(try reader.text()) }
    statistics.samples = try reader.number()
    var previous: String?
    for _ in 0..<(try reader.count(bytesEach: 17)) {
      let name = try reader.text()
      guard previous.map({ $0.utf8.lexicographicallyPrecedes(name.utf8) }) ?? true else {
        throw reader.damaged("its tensors are out of order")
      }
      previous = name
      statistics.tensors[name] = try reader.tensor()
    }
    try reader.end()
  }
}
