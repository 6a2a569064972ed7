import FloatExecution
import FloatKernels
import FoundationEssentials
import ONNXFormat
import QuantCalibration
import QuantCore

/// What a calibration run saw: the statistics of every float activation, from which any range method starts.
public struct CalibrationStatistics: Sendable {
  package var file: StatisticsFile
  /// Where it was read from or written to.
  public internal(set) var path: String?

  /// Reads a `.calib` file.
  public init(path: String) throws(QuantizerError) {
    file = try folding(path) { try StatisticsFile(path: path) }
    self.path = path
  }

  init(_ file: StatisticsFile) { self.file = file }

  /// Number of tensors that have statistics.
  public var tensorCount: Int { file.statistics.tensors.count }
  /// Number of samples that were run.
  public var samples: Int { Int(clamping: file.statistics.samples) }
  /// SHA-256 of the mergeable content: equal for any number of threads, any order and sharding of the data.
  public var sha256: String { file.statisticsSHA256 }
  /// The data as its user typed it.
  public var dataPath: String { file.note.dataPath }
  /// How pictures were preprocessed, in a form that `DataOptions.recordedPreprocessing` takes.
  public var preprocessing: String { file.preprocessing }

  /// Writes the file aside and renames it.
  ///
  /// - Throws: `QuantizerError` when an existing file was not written by onnxq and `replacingForeign` is false.
  public mutating func write(to path: String, replacingForeign: Bool = false) throws(QuantizerError) {
    if !replacingForeign { try Overwriting.check(statistics: path) }
    try folding(path) { try file.write(to: path) }
    self.path = path
  }

  /// Adds the statistics of other samples of the same data set, or of another one, of the same model.
  public mutating func merge(_ other: CalibrationStatistics) throws(QuantizerError) {
    try folding(other.path) { try file.merge(other.file) }
  }
}

/// Runs a model over data and collects statistics.
public struct Calibration {
  /// A file of the data set that was left out.
  public struct Skipped: Sendable, Encodable {
    /// The file.
    public var name: String
    /// Why it cannot be a sample.
    public var reason: String
  }

  /// What a run gives.
  public struct Outcome: Sendable {
    /// What was seen.
    public var statistics: CalibrationStatistics
    /// Files that were left out, where `DataOptions.skipsBad` allows it.
    public var skipped: [Skipped]
    /// Samples that were taken over from an unfinished run.
    public var resumed: Int
  }

  /// The data that the model is run on.
  public var data: DataOptions
  /// Number of threads; nil for all processors. The statistics do not depend on it.
  public var threads: Int?
  /// Only these tensors; nil for all.
  public var tensors: Set<String>?
  /// Where an unfinished run keeps its state.
  public var checkpoint: String?
  /// Goes on from the checkpoint, if there is one.
  public var resumes = false

  /// A run over all of `data`.
  public init(_ data: DataOptions) { self.data = data }

  /// Runs all samples, one after another.
  ///
  /// - Throws: `QuantizerError` of kind `badInput` when the data does not fit the model or a node cannot be run.
  public func run(
    _ model: ModelFile, progress: (@Sendable (_ done: Int, _ total: Int) -> Void)? = nil
  ) throws(QuantizerError) -> Outcome {
    try folding(model.path) {
      let samples = try data.open(for: model.model)
      var options = CalibrationRun.Options()
      options.tensors = tensors
      options.skipsBad = data.skipsBad
      options.checkpoint = checkpoint
      options.resumes = resumes
      options.progress = progress
      let pool = threads.map { ThreadPool(threads: $0) } ?? ThreadPool()
      let run = try CalibrationRun(
        model: model.model, modelSHA256: model.identity, threads: pool, options: options)
      let result = try run.run(samples)
      var file = result.file
      file.note.toolVersion = Quantizer.version
      return Outcome(
        statistics: CalibrationStatistics(file),
        skipped: result.skipped.map { Skipped(name: $0.name, reason: $0.reason) }, resumed: result.resumed)
    }
  }
}
