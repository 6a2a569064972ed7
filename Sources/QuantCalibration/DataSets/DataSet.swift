import FoundationEssentials
import ONNXFormat
import ONNXTensor

/// Samples for a model in a fixed order, read one by one.
///
/// Takes a folder of `.npy`, of `.npz`, of pictures (folders in it too) or of `test_data_set_*`, one such file, or one array of an
/// archive as `file.npz:key`. The order is that of the names' bytes.
///
/// One caller at a time.
package final class DataSet {
  package struct Options: Sendable, Equatable {
    /// Only the first so many samples.
    package var limit: Int?
    /// Of these, sample k where k mod `shardCount` is `shard`.
    package var shard = 0
    package var shardCount = 1
    /// Files that cannot be opened are left out and listed in `skipped`.
    package var skipsBad = false

    package init() {}

    /// `--shard i/n`, i from 1.
    package static func parseShard(_ text: String) throws(DataError) -> (shard: Int, count: Int) {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
      guard parts.count == 2, parts[1] >= 1, (1...parts[1]).contains(parts[0]) else {
        throw DataError(.option, "'\(text)' is not a shard: use i/n with i from 1 to n")
      }
      return (parts[0] - 1, parts[1])
    }
  }

  package struct Skipped: Sendable, Equatable {
    package var name: String
    package var reason: String
  }

  package let path: String
  package let inputs: [InputDescription]
  package let options: Options
  package let preprocessing: Preprocessing?
  /// Names of the samples of this shard.
  package let names: [String]
  /// Samples of all shards together.
  package let totalCount: Int
  /// Files that could not be opened.
  package let skipped: [Skipped]
  private let sources: [any SampleSource]
  /// Source and index in it of each sample of this shard.
  private let places: [(source: Int, index: Int)]
  private let selection: String

  package init(
    path: String, inputs: [InputDescription], preprocessing: Preprocessing? = nil, options: Options = Options()
  ) throws(DataError) {
    self.path = path
    self.inputs = inputs
    self.options = options
    self.preprocessing = preprocessing
    guard !inputs.isEmpty else { throw DataError(.mismatch, "the model has no inputs to give data to", at: path) }
    var finder = SourceFinder(inputs: inputs, preprocessing: preprocessing, skipsBad: options.skipsBad)
    sources = try finder.sources(path)
    skipped = finder.skipped
    selection = finder.selection
    var names: [String] = []
    var places: [(Int, Int)] = []
    var count = 0
    let limit = options.limit ?? .max
    outer: for (source, item) in sources.enumerated() {
      for (index, name) in item.sampleNames.enumerated() {
        if count >= limit { break outer }
        if count % options.shardCount == options.shard {
          names.append(name)
          places.append((source, index))
        }
        count += 1
      }
    }
    totalCount = count
    self.names = names
    self.places = places
    guard count > 0 else {
      throw DataError(
        .file, "holds no data", at: path,
        advice: "give a folder of .npy, .npz, .jpg, .png or test_data_set_* with samples for \(inputs.map(\.name))")
    }
  }

  package var count: Int { places.count }

  /// The inputs of a sample by name.
  package func load(_ index: Int) throws(DataError) -> [String: Tensor] {
    try sources[places[index].source].load(places[index].index)
  }

  /// SHA-256 over the content of all files, in order, and over which array of them is meant; names do not count.
  ///
  /// Reads all of the data once.
  package func fingerprint() throws(DataError) -> String {
    var whole = Sha256()
    whole.update(Array(selection.utf8))
    for path in sources.flatMap(\.files) {
      var hash = Sha256()
      let file = try mapFile(path)
      hash.update(file.bytes)
      whole.update(hash.digest())
    }
    return whole.hexDigest()
  }

  /// The first sample of a data set of pictures as the model sees it, before scaling; nil for other data.
  package func preview() throws(DataError) -> Picture? {
    guard let place = places.first, let source = sources[place.source] as? PictureSource else { return nil }
    let target = try source.preprocessing.target(source.input)
    return source.preprocessing.picture(try Picture(contentsOf: source.path), for: target)
  }
}

/// Finds out what kind of data stands at a path.
private struct SourceFinder {
  let inputs: [InputDescription]
  let preprocessing: Preprocessing?
  let skipsBad: Bool
  var skipped: [DataSet.Skipped] = []
  var selection = ""

  enum Kind: String { case picture, array = ".npy", archive = ".npz" }

  mutating func sources(_ path: String) throws(DataError) -> [any SampleSource] {
    var isFolder: Bool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) {
      return isFolder ? try folder(path) : try file(path)
    }
    if let colon = path.lastIndex(of: ":"), colon != path.startIndex,
      FileManager.default.fileExists(atPath: String(path[..<colon]))
    {
      return [try selected(String(path[..<colon]), key: String(path[path.index(after: colon)...]))]
    }
    throw DataError(.file, "there is no such file or folder", at: path)
  }

  private static func kind(_ name: String) -> Kind? {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return nil }
    switch name[name.index(after: dot)...].lowercased() {
    case "jpg", "jpeg", "png": return .picture
    case "npy": return .array
    case "npz": return .archive
    default: return nil
    }
  }

  private func list(_ path: String) throws(DataError) -> [String] {
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      throw DataError(.file, "cannot be listed", at: path)
    }
    return names.filter { !$0.hasPrefix(".") }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  private func isFolder(_ path: String) -> Bool {
    var isFolder: Bool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
  }

  private mutating func file(_ path: String) throws(DataError) -> [any SampleSource] {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    guard let kind = Self.kind(name) else {
      throw DataError(
        .file, "is not data", at: path, advice: "give .npy, .npz, .jpg or .png files, or test_data_set_* folders")
    }
    return [try source(kind, path: path, name: name)]
  }

  private mutating func folder(_ path: String) throws(DataError) -> [any SampleSource] {
    let names = try list(path)
    if names.contains(where: { Self.isTestInput($0) }) {
      return [try testData(path, name: path.split(separator: "/").last.map(String.init) ?? path)]
    }
    let sets = names.filter { $0.hasPrefix("test_data_set_") && isFolder("\(path)/\($0)") }
    if !sets.isEmpty {
      var result: [any SampleSource] = []
      for name in sets.sorted(by: Self.numbered) { result.append(try testData("\(path)/\(name)", name: name)) }
      return result
    }
    var files: [(name: String, kind: Kind)] = []
    try collect(path, prefix: "", depth: 0, into: &files)
    files.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    let kinds = Set(files.map(\.kind))
    guard kinds.count <= 1 else {
      throw DataError(
        .file, "holds \(kinds.map(\.rawValue).sorted().joined(separator: " and ")) files", at: path,
        advice: "one data set is of one kind; put them into folders of their own")
    }
    var result: [any SampleSource] = []
    for file in files {
      do throws(DataError) {
        result.append(try source(file.kind, path: "\(path)/\(file.name)", name: file.name))
      } catch {
        // A missing preset or a model that takes no pictures is no fault of one file.
        guard skipsBad, error.code == .damaged || error.code == .file || error.code == .mismatch, file.kind != .picture
        else {
          throw error
        }
        skipped.append(.init(name: file.name, reason: error.description))
      }
    }
    return result
  }

  private static func isTestInput(_ name: String) -> Bool {
    name.hasPrefix("input_") && name.hasSuffix(".pb") && Int(name.dropFirst(6).dropLast(3)) != nil
  }

  /// By number where names end in one.
  private static func numbered(_ left: String, _ right: String) -> Bool {
    let numbers = [left, right].map { Int($0.filter(\.isNumber)) ?? .max }
    return numbers[0] != numbers[1] ? numbers[0] < numbers[1] : left.utf8.lexicographicallyPrecedes(right.utf8)
  }

  private func collect(
    _ path: String, prefix: String, depth: Int, into files: inout [(name: String, kind: Kind)]
  ) throws(DataError) {
    for name in try list(path) {
      if isFolder("\(path)/\(name)") {
        if depth < 8 { try collect("\(path)/\(name)", prefix: "\(prefix)\(name)/", depth: depth + 1, into: &files) }
      } else if let kind = Self.kind(name) {
        files.append(("\(prefix)\(name)", kind))
      }
    }
  }

  private func testData(_ path: String, name: String) throws(DataError) -> any SampleSource {
    let files = try list(path).filter { Self.isTestInput($0) }
      .sorted { (Int($0.dropFirst(6).dropLast(3)) ?? 0) < (Int($1.dropFirst(6).dropLast(3)) ?? 0) }
    return TestDataSource(name: name, files: files.map { "\(path)/\($0)" }, inputs: inputs)
  }

  private func source(_ kind: Kind, path: String, name: String) throws(DataError) -> any SampleSource {
    switch kind {
    case .picture:
      guard let preprocessing else {
        throw DataError(
          .option, "pictures need to be told how they become the model's input", at: path,
          advice:
            "give --preset \(Preprocessing.presetNames.joined(separator: "|")) or settings such as --resize and --scale"
        )
      }
      return PictureSource(name: name, path: path, input: try onlyInput(path), preprocessing: preprocessing)
    case .array:
      let array = try ArrayFile(path: path)
      return try ArraySource(
        name: name, files: [path], arrays: [(try onlyInput(path), array)], preprocessing: preprocessing)
    case .archive:
      let archive = try ArrayArchive(path: path)
      var arrays: [(input: InputDescription, array: ArrayFile)] = []
      for input in inputs {
        if inputs.count == 1, archive.keys.count == 1, archive.keys[0] != input.name {
          arrays.append((input, try archive.array(archive.keys[0])))
        } else {
          guard archive.keys.contains(input.name) else {
            throw DataError(
              .mismatch, "has no array for input '\(input.name)'; it has \(archive.keys.joined(separator: ", "))",
              at: path, advice: inputs.count == 1 ? "name one: \(path):KEY" : nil)
          }
          arrays.append((input, try archive.array(input.name)))
        }
      }
      return try ArraySource(name: name, files: [path], arrays: arrays, preprocessing: preprocessing)
    }
  }

  private mutating func selected(_ path: String, key: String) throws(DataError) -> any SampleSource {
    guard Self.kind(path) == .archive else {
      throw DataError(.option, "only .npz archives hold arrays by key", at: "\(path):\(key)")
    }
    selection = key
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let array = try ArrayArchive(path: path).array(key)
    return try ArraySource(
      name: "\(name):\(key)", files: [path], arrays: [(try onlyInput(path), array)], preprocessing: preprocessing)
  }

  private func onlyInput(_ path: String) throws(DataError) -> InputDescription {
    guard inputs.count == 1 else {
      throw DataError(
        .mismatch,
        "is data for one input, the model has \(inputs.count): \(inputs.map(\.name).joined(separator: ", "))",
        at: path, advice: "use .npz files with an array per input name, or test_data_set_* folders")
    }
    return inputs[0]
  }
}
