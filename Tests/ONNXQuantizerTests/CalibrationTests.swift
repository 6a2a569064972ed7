import FoundationEssentials
import ONNXQuantizer
import TestSupport
import Testing

@Suite struct CalibrationTests {
  @Test func everyActivationHasStatistics() throws {
    let statistics = try Digits.statistics()
    #expect(statistics.samples == 12)
    #expect(statistics.tensorCount > 10)
    #expect(statistics.path == nil)
  }

  @Test(arguments: [2, 3]) func threadsDoNotChangeTheStatistics(threads: Int) throws {
    let alone = try Digits.statistics()
    let shared = try Digits.statistics(threads: threads)
    #expect(alone.sha256 == shared.sha256 && alone.sha256.count == 64)
  }

  @Test func shardsMergeToTheWholeInAnyOrder() throws {
    let whole = try Digits.statistics()
    let shards = try (1...3).map { try Digits.statistics(Digits.options(shard: "\($0)/3")) }
    #expect(shards.map(\.samples).reduce(0, +) == 12)
    for order in [[0, 1, 2], [2, 0, 1]] {
      var merged = shards[order[0]]
      try merged.merge(shards[order[1]])
      try merged.merge(shards[order[2]])
      #expect(merged.samples == 12)
      #expect(merged.sha256 == whole.sha256)
    }
  }

  @Test func filesGiveTheStatisticsBack() throws {
    let folder = try TestFiles.scratch("statistics")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var statistics = try Digits.statistics()
    try statistics.write(to: folder + "/digits.calib")
    #expect(statistics.path == folder + "/digits.calib")
    let read = try CalibrationStatistics(path: folder + "/digits.calib")
    #expect(read.sha256 == statistics.sha256 && read.samples == 12 && read.tensorCount == statistics.tensorCount)
    // Ours may be replaced.
    try statistics.write(to: folder + "/digits.calib")
  }

  @Test func filesOfOthersAreNotReplaced() throws {
    let folder = try TestFiles.scratch("foreign")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/digits.calib"
    let foreign = Data("ranges of another tool".utf8)
    try foreign.write(to: URL(filePath: path))
    var statistics = try Digits.statistics(Digits.options(limit: 1))
    let error = try #require(throws: QuantizerError.self) { try statistics.write(to: path) }
    #expect(error.kind == .badInput && error.message.contains(path))
    #expect(FileManager.default.contents(atPath: path) == foreign)
    try statistics.write(to: path, replacingForeign: true)
    #expect(try CalibrationStatistics(path: path).samples == 1)
  }

  @Test func progressReachesTheEnd() throws {
    let log = Log()
    _ = try Calibration(Digits.options(limit: 5)).run(ModelFile(path: Digits.path)) { done, total in
      log.add((done, total))
    }
    #expect(log.entries.last?.0 == 5)
    #expect(log.entries.allSatisfy { $0.1 == 5 && $0.0 <= 5 })
  }

  @Test func whatIsNoDataIsNamed() throws {
    for path in [TestFiles.fixture("nowhere"), Digits.path, TestFiles.fixture("licences")] {
      let error = try #require(throws: QuantizerError.self) { try Digits.statistics(DataOptions(path: path)) }
      #expect(error.kind == .badInput && error.message.contains(path), "\(error.message)")
      #expect(!error.message.contains("\n"))
    }
  }

  @Test func settingsThatMakeNoSenseAreUsage() throws {
    var wrong = [Digits.options(), Digits.options(), Digits.options(limit: 0)]
    wrong[0].shard = "4/3"
    wrong[1].preset = "postcard"
    for options in wrong {
      let error = try #require(throws: QuantizerError.self) { try Digits.statistics(options) }
      #expect(error.kind == .usage, "\(error.message)")
    }
  }

  @Test func filesThatAreNoModelsAreNamed() throws {
    for path in [TestFiles.fixture("digits/labels.txt"), TestFiles.fixture("digits/nothing.onnx")] {
      let error = try #require(throws: QuantizerError.self) { try ModelFile(path: path) }
      #expect(error.kind == .badInput && error.message.contains(path))
    }
  }

  private final class Log: @unchecked Sendable {
    // Samples are run one by one, so calls do not overlap.
    private(set) var entries: [(Int, Int)] = []
    func add(_ entry: (Int, Int)) { entries.append(entry) }
  }
}
