import ONNXFormat
import QuantCore

/// The statistics of a model on data, as a `.calib` file holds them.
///
/// All but `note` is content: it merges exactly, and `statisticsSHA256` is its hash.
package struct StatisticsFile: Sendable, Equatable {
  /// A data set, or the shards of it that were run.
  package struct Part: Sendable, Equatable {
    /// `DataSet.fingerprint`.
    package var fingerprint: String
    /// Samples of all shards.
    package var total: UInt64
    package var shardCount: UInt64
    /// Ascending, from 0. Once all are there, they become one shard of one.
    package var shards: [UInt64]

    package init(fingerprint: String, total: UInt64, shardCount: UInt64, shards: [UInt64]) {
      self.fingerprint = fingerprint
      self.total = total
      self.shardCount = shardCount
      self.shards = shards
    }
  }

  /// What helps people and later commands, and does not take part in comparisons.
  package struct Note: Sendable, Equatable {
    /// As typed by the user.
    package var dataPath = ""
    package var labelsPath = ""
    package var toolVersion = ""
    /// In a checkpoint: how many of the shard's samples are in the statistics.
    package var completed: UInt64?

    package init() {}
  }

  package var modelSHA256: String
  /// `Preprocessing.description`; empty where there was none.
  package var preprocessing = ""
  package var parts: [Part]
  /// Samples that were left out because they could not be read, by name.
  package var skipped: [String] = []
  package var statistics: ModelStatistics
  package var note = Note()

  package init(modelSHA256: String, parts: [Part], statistics: ModelStatistics) {
    self.modelSHA256 = modelSHA256
    self.parts = parts
    self.statistics = statistics
  }

  /// Lower-case hexadecimal; equal for any number of threads, order of shards and way of sharding.
  package var statisticsSHA256: String {
    let content = encodedContent()
    return content.withUnsafeBytes { Sha256.hexDigest($0) }
  }

  /// Adds what `other` holds.
  ///
  /// - Throws: `DataError` where the two belong to different models, preprocessing or overlapping data.
  package mutating func merge(_ other: StatisticsFile) throws(DataError) {
    func refuse(_ message: String, _ advice: String? = nil) -> DataError {
      DataError(.mismatch, "the statistics do not belong together: \(message)", advice: advice)
    }
    guard modelSHA256 == other.modelSHA256 else {
      throw refuse("they are of the models \(modelSHA256.prefix(12)) and \(other.modelSHA256.prefix(12))")
    }
    guard preprocessing == other.preprocessing else {
      throw refuse("their preprocessing is '\(preprocessing)' and '\(other.preprocessing)'")
    }
    guard note.completed == nil, other.note.completed == nil else {
      throw refuse("one is of a run that did not finish", "finish it with calibrate --resume")
    }
    var merged = parts
    for part in other.parts {
      if let index = merged.firstIndex(where: { $0.fingerprint == part.fingerprint }) {
        let mine = merged[index]
        guard mine.total == part.total, mine.shardCount == part.shardCount else {
          throw refuse("both hold samples of the data \(part.fingerprint.prefix(12)), cut in different ways")
        }
        if let twice = part.shards.first(where: mine.shards.contains) {
          throw refuse("both hold shard \(twice + 1)/\(part.shardCount) of the data \(part.fingerprint.prefix(12))")
        }
        merged[index].shards = (mine.shards + part.shards).sorted()
      } else {
        merged.append(part)
      }
    }
    let names = Set(statistics.tensors.keys)
    if let odd = names.symmetricDifference(other.statistics.tensors.keys).min() {
      // Tensors of a branch that only some samples take are in some shards alone.
      if names.isDisjoint(with: other.statistics.tensors.keys) && !names.isEmpty && !other.statistics.tensors.isEmpty {
        throw refuse("they have no tensor in common; '\(odd)' is in one of them only")
      }
    }
    do {
      try statistics.merge(other.statistics)
    } catch {
      throw DataError(.damaged, error.description)
    }
    parts = merged
    skipped = (skipped + other.skipped).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    canonicalize()
  }

  /// Parts by fingerprint, complete ones as one shard of one.
  package mutating func canonicalize() {
    for index in parts.indices where parts[index].shards.count == Int(clamping: parts[index].shardCount) {
      parts[index].shardCount = 1
      parts[index].shards = [0]
    }
    parts.sort { $0.fingerprint.utf8.lexicographicallyPrecedes($1.fingerprint.utf8) }
    skipped.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
