import ONNXQuantizer
import TestSupport

/// The digits network and a few of its samples, through the public interface alone.
enum Digits {
  static let path = TestFiles.fixture("digits/digits.onnx")

  static func options(_ folder: String = "calibration", limit: Int? = 12, shard: String? = nil) -> DataOptions {
    var options = DataOptions(path: TestFiles.fixture("digits/" + folder))
    options.limit = limit
    options.shard = shard
    return options
  }

  static func statistics(_ options: DataOptions = options(), threads: Int = 1) throws -> CalibrationStatistics {
    var calibration = Calibration(options)
    calibration.threads = threads
    return try calibration.run(ModelFile(path: path)).statistics
  }

  static func insert(_ target: String, _ statistics: CalibrationStatistics, into path: String = path) throws
    -> InsertionResult
  {
    var settings = InsertionSettings()
    settings.target = target
    return try Insertion(settings).run(path, statistics: statistics)
  }
}
