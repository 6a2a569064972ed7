import ONNXFormat
import ONNXTensor
import QuantCalibration
import QuantCore
import TestSupport
import Testing

@Suite struct StatisticsFileTests {
  static func file(shard: UInt64 = 0, of count: UInt64 = 1, seed: UInt64 = 1, fingerprint: String = "data")
    -> StatisticsFile
  {
    var generator = SeededGenerator(seed: seed)
    var statistics = ModelStatistics()
    statistics.samples = 3
    for name in ["zebra", "äpfel", "a/b:c"] {
      let observer = TensorObserver(axes: [1, -1])
      for _ in 0..<3 {
        let values = (0..<60).map { _ in Float.random(in: -3...5, using: &generator) }
        observer.observe(Tensor(values + [0, -0.0, .nan, .infinity, 1e-30], shape: [1, 5, 13]))
      }
      statistics.tensors[name] = observer.result()
    }
    statistics.tensors["empty"] = TensorStatistics()
    var file = StatisticsFile(
      modelSHA256: "model",
      parts: [.init(fingerprint: fingerprint, total: 9, shardCount: count, shards: [shard])], statistics: statistics)
    file.note.dataPath = "../data"
    return file
  }

  static func decode(_ bytes: [UInt8]) throws -> StatisticsFile {
    try bytes.withUnsafeBytes { try StatisticsFile(decoding: $0, location: "x.calib") }
  }

  @Test func roundTrip() throws {
    var file = Self.file()
    file.preprocessing = "scale=1"
    file.skipped = ["a.jpg", "b.jpg"]
    file.note.labelsPath = "labels.txt"
    file.note.toolVersion = "0.1"
    let bytes = file.encoded()
    let back = try Self.decode(bytes)
    #expect(back == file)
    #expect(back.encoded() == bytes)
    let path = try TestFiles.scratch("calib") + "/m.calib"
    try file.write(to: path)
    #expect(try StatisticsFile(path: path) == file)
  }

  @Test func theNoteIsNotHashed() {
    var file = Self.file()
    let hash = file.statisticsSHA256
    file.note.dataPath = "elsewhere"
    #expect(file.statisticsSHA256 == hash)
    file.statistics.samples += 1
    #expect(file.statisticsSHA256 != hash)
  }

  @Test func shardsMergeInAnyOrderToTheWhole() throws {
    let shards = (0..<3).map { Self.file(shard: UInt64($0), of: 3, seed: UInt64($0) + 10) }
    var hashes = Set<String>()
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
      var merged = shards[order[0]]
      try merged.merge(shards[order[1]])
      try merged.merge(shards[order[2]])
      hashes.insert(merged.statisticsSHA256)
      #expect(merged.parts == [.init(fingerprint: "data", total: 9, shardCount: 1, shards: [0])])
      #expect(merged.statistics.samples == 9)
    }
    #expect(hashes.count == 1)
  }

  @Test func mergeRefusesWhatDoesNotBelongTogether() throws {
    let file = Self.file(shard: 0, of: 2)
    var same = file
    #expect(throws: DataError.self) { try same.merge(file) }
    var otherModel = Self.file(shard: 1, of: 2)
    otherModel.modelSHA256 = "another"
    #expect(throws: DataError.self) { try same.merge(otherModel) }
    var otherPreprocessing = Self.file(shard: 1, of: 2)
    otherPreprocessing.preprocessing = "scale=/255"
    #expect(throws: DataError.self) { try same.merge(otherPreprocessing) }
    #expect(throws: DataError.self) { try same.merge(Self.file(shard: 1, of: 3)) }
    var unfinished = Self.file(shard: 1, of: 2)
    unfinished.note.completed = 2
    #expect(throws: DataError.self) { try same.merge(unfinished) }
    #expect(same == file)
    try same.merge(Self.file(fingerprint: "other data"))
    #expect(same.parts.count == 2)
  }

  @Test func damagedFilesAreRefused() throws {
    let whole = Self.file().encoded()
    for length in 0..<whole.count { #expect(throws: DataError.self) { try Self.decode(Array(whole[..<length])) } }
    #expect(throws: DataError.self) { try Self.decode(whole + [0]) }
    var generator = SeededGenerator(seed: 31)
    for _ in 0..<3000 {
      var mutated = whole
      let index = Int.random(in: 0..<mutated.count, using: &generator)
      mutated[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      #expect(throws: DataError.self) { try Self.decode(mutated) }
    }
  }

  /// Mutations behind sound checksums: what is accepted must be what the writer writes.
  @Test func hostileContentDoesNotTrap() throws {
    let whole = Self.file().encoded()
    let contentSize = (0..<8).reduce(0) { $0 | Int(whole[16 + $1]) << (8 * $1) }
    var generator = SeededGenerator(seed: 32)
    var accepted = 0
    for _ in 0..<2000 {
      var mutated = whole
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let index = Int.random(in: 64..<mutated.count - 32, using: &generator)
        mutated[index] = Bool.random(using: &generator) ? UInt8.random(in: 0...255, using: &generator) : 0xFF
      }
      var hash = Sha256()
      hash.update(Array(mutated[64..<64 + contentSize]))
      mutated.replaceSubrange(32..<64, with: hash.digest())
      hash.update(Array(mutated[..<(mutated.count - 32)]))
      mutated.replaceSubrange((mutated.count - 32)..., with: hash.digest())
      do {
        let file = try Self.decode(mutated)
        accepted += 1
        for tensor in file.statistics.tensors.values {
          for method in [RangeMethod.minMax, .percentile(99.9), .entropy] {
            _ = try? method.choose(for: tensor, scheme: .int8Asymmetric, nonFinite: .ignore)
          }
        }
        var sum = file
        try? sum.merge(file)
      } catch is DataError {}
    }
    #expect(accepted > 0)
  }
}
