import ONNXGraph
import QuantCalibration

/// Which data, and how it becomes the model's input.
public struct DataOptions: Sendable {
  /// A folder of `.npy`, `.npz`, pictures or `test_data_set_*` folders, one such file, or `file.npz:key`.
  public var path: String
  /// A named preprocessing of pictures: `DataOptions.presets`.
  public var preset: String?
  /// Preprocessing settings on top of the preset, e.g. `("crop", "224x224")`.
  public var settings: [(key: String, value: String)] = []
  /// Only the first so many samples.
  public var limit: Int?
  /// `i/n`, i from 1: only this part of the samples.
  public var shard: String?
  /// Leaves out files that cannot be read instead of failing.
  public var skipsBad = false
  /// Preprocessing as a statistics file recorded it; used where neither a preset nor settings are given.
  public var recordedPreprocessing: String?

  /// All of the data at `path`, without preprocessing of its own.
  public init(path: String) { self.path = path }

  /// Names of the presets.
  public static var presets: [String] { Preprocessing.presetNames }

  func preprocessing() throws -> Preprocessing? {
    if preset == nil, settings.isEmpty {
      guard let recorded = recordedPreprocessing, !recorded.isEmpty else { return nil }
      return try Preprocessing(parsing: recorded)
    }
    var result = try preset.map { name throws(DataError) in try Preprocessing(preset: name) } ?? Preprocessing()
    for setting in settings { try result.set(setting.key, setting.value) }
    return result
  }

  func open(for model: Model) throws -> DataSet {
    if let limit, limit < 1 { throw QuantizerError(.usage, "a limit of \(limit) samples: give 1 or more") }
    var options = DataSet.Options()
    options.limit = limit
    options.skipsBad = skipsBad
    if let shard {
      do {
        (options.shard, options.shardCount) = try DataSet.Options.parseShard(shard)
      } catch {
        throw QuantizerError(.usage, "\(error)")
      }
    }
    let preprocessing: Preprocessing?
    do {
      preprocessing = try self.preprocessing()
    } catch {
      throw QuantizerError(.usage, "\(error)")
    }
    return try DataSet(
      path: path, inputs: InputDescription.inputs(of: model), preprocessing: preprocessing, options: options)
  }
}
