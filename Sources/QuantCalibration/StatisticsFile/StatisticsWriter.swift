import ONNXFormat
import QuantCore

/// The bytes of a `.calib` file; `docs/calib-format.md` has the layout.
struct StatisticsWriter {
  private(set) var bytes: [UInt8] = []

  mutating func fixed(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func float(_ value: Float) { fixed(value.bitPattern) }

  /// LEB128: seven bits a byte, lowest first.
  mutating func number(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  mutating func number(_ value: Int) { number(UInt64(value)) }

  /// Zigzag: 0, -1, 1, -2, …
  mutating func signed(_ value: Int) { number(UInt64(bitPattern: Int64(value) << 1 ^ Int64(value) >> 63)) }

  mutating func text(_ value: String) {
    let utf8 = Array(value.utf8)
    number(utf8.count)
    bytes.append(contentsOf: utf8)
  }

  mutating func raw(_ value: some Sequence<UInt8>) { bytes.append(contentsOf: value) }

  mutating func tensor(_ value: TensorStatistics) {
    for count in [value.count, value.zeros, value.nans, value.positiveInfinities, value.negativeInfinities] {
      number(count)
    }
    float(value.minimum)
    float(value.maximum)
    number(value.histogram.pages.count)
    var previous = -1
    for page in value.histogram.pages {
      number(Int(page.key) - previous - 1)
      previous = Int(page.key)
      let filled = page.counts.indices.filter { page.counts[$0] != 0 }
      number(filled.count)
      var last = -1
      for index in filled {
        number(index - last - 1)
        number(page.counts[index])
        last = index
      }
    }
    number(value.shapes.count)
    for shape in value.shapes {
      number(shape.lowest.count)
      for (low, high) in zip(shape.lowest, shape.highest) {
        number(low)
        number(high - low)
      }
    }
    number(value.channels.count)
    for channels in value.channels {
      signed(channels.axis)
      switch channels.contents {
      case .none: number(0)
      case .inconsistent: number(1)
      case .channels(let contents):
        number(2)
        number(contents.count)
        number(contents.elements)
        for minimum in contents.minima { float(minimum) }
        for maximum in contents.maxima { float(maximum) }
        for channel in 0..<contents.count { sum(contents.sums, channel) }
        for channel in 0..<contents.count { sum(contents.squares, channel) }
      }
    }
  }

  /// The bytes of the integer between its lowest byte that is not zero and its sign.
  private mutating func sum(_ sums: ExactSums, _ channel: Int) {
    number(sums.invalid[channel])
    let limbs = sums.limbs[channel * ExactSums.limbCount..<(channel + 1) * ExactSums.limbCount]
    let all = limbs.flatMap { limb in (0..<8).map { UInt8(truncatingIfNeeded: limb >> UInt64(8 * $0)) } }
    guard let first = all.firstIndex(where: { $0 != 0 }) else {
      number(0)
      return
    }
    let sign: UInt8 = all[all.count - 1] & 0x80 == 0 ? 0 : 0xFF
    var end = all.count
    while end > first + 1, all[end - 1] == sign, (all[end - 2] ^ sign) & 0x80 == 0 { end -= 1 }
    number(end - first)
    number(first)
    raw(all[first..<end])
  }
}

extension StatisticsFile {
  static let magic = Array("ONNXQCAL".utf8)
  static let version: UInt32 = 2
  static let headerSize = 64

  func encodedContent() -> [UInt8] {
    var writer = StatisticsWriter()
    writer.text(modelSHA256)
    writer.text(preprocessing)
    writer.number(parts.count)
    for part in parts {
      writer.text(part.fingerprint)
      writer.number(part.total)
      writer.number(part.shardCount)
      writer.number(part.shards.count)
      for shard in part.shards { writer.number(shard) }
    }
    writer.number(skipped.count)
    for name in skipped { writer.text(name) }
    writer.number(statistics.samples)
    let names = statistics.tensors.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    writer.number(names.count)
    for name in names {
      writer.text(name)
      if let tensor = statistics.tensors[name] { writer.tensor(tensor) }
    }
    return writer.bytes
  }

  private func encodedNote() -> [UInt8] {
    var writer = StatisticsWriter()
    writer.text(note.dataPath)
    writer.text(note.labelsPath)
    writer.text(note.toolVersion)
    writer.number(note.completed.map { $0 &+ 1 } ?? 0)
    return writer.bytes
  }

  /// The file's bytes: the same for the same statistics and note.
  package func encoded() -> [UInt8] {
    let content = encodedContent()
    let note = encodedNote()
    var writer = StatisticsWriter()
    writer.raw(Self.magic)
    writer.fixed(Self.version)
    writer.fixed(UInt32(0))
    writer.fixed(UInt64(content.count))
    writer.fixed(UInt64(note.count))
    var hash = Sha256()
    hash.update(content)
    writer.raw(hash.digest())
    writer.raw(content)
    writer.raw(note)
    hash.update(writer.bytes)
    writer.raw(hash.digest())
    return writer.bytes
  }

  /// Writes aside and renames.
  package func write(to path: String) throws(DataError) {
    do throws(ModelFormatError) {
      let file = try AtomicFile(replacing: path)
      let bytes = encoded()
      var failure: ModelFormatError?
      bytes.withUnsafeBytes {
        do throws(ModelFormatError) { try file.write($0) } catch { failure = error }
      }
      if let failure { throw failure }
      try file.commit()
    } catch {
      throw DataError(error)
    }
  }
}
