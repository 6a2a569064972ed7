import FoundationEssentials
import ONNXFormat
import ONNXTensor
import QuantCalibration
import TestSupport
import Testing

@Suite struct DataSetTests {
  static let input = InputDescription(name: "x", elementType: .float32, shape: [1, 2])

  /// Ten files of one sample each.
  static func folder() throws -> String {
    let folder = try TestFiles.scratch("set")
    for index in 0..<10 { try write(npy([Float(index), 1], [1, 2]), to: "\(folder)/s\(index).npy") }
    try write(Array("notes".utf8), to: "\(folder)/README.txt")
    try write(Array("hidden".utf8), to: "\(folder)/.hidden.npy")
    return folder
  }

  @Test func orderIsThatOfNames() throws {
    let data = try DataSet(path: Self.folder(), inputs: [Self.input])
    #expect(data.names == (0..<10).map { "s\($0).npy" })
    #expect(try data.load(7)["x"]?.array(Float.self) == [7, 1])
  }

  @Test func aScalarInputTakesAScalar() throws {
    let path = try TestFiles.scratch("scalar") + "/rate.npy"
    try write(npy([16000], []), to: path)
    let data = try DataSet(path: path, inputs: [InputDescription(name: "rate", elementType: .float32, shape: [])])
    #expect(data.count == 1)
    let value = try data.load(0)["rate"]
    #expect(value?.shape == [] && value?.array(Float.self) == [16000])
  }

  @Test func limitsAndShardsPartitionTheData() throws {
    let folder = try Self.folder()
    var names: [String] = []
    for shard in 1...3 {
      var options = DataSet.Options()
      options.limit = 8
      (options.shard, options.shardCount) = try DataSet.Options.parseShard("\(shard)/3")
      let data = try DataSet(path: folder, inputs: [Self.input], options: options)
      #expect(data.totalCount == 8)
      names += data.names
    }
    #expect(names.sorted() == (0..<8).map { "s\($0).npy" })
  }

  @Test(arguments: ["0/2", "3/2", "1", "a/b", "1/0", "", "1/2/3"]) func badShardsAreRefused(text: String) {
    #expect(throws: DataError.self) { try DataSet.Options.parseShard(text) }
  }

  @Test func fingerprintIsOfContent() throws {
    let folder = try Self.folder()
    let first = try DataSet(path: folder, inputs: [Self.input]).fingerprint()
    var options = DataSet.Options()
    (options.shard, options.shardCount) = (1, 2)
    #expect(try DataSet(path: folder, inputs: [Self.input], options: options).fingerprint() == first)
    #expect(try DataSet(path: try Self.folder(), inputs: [Self.input]).fingerprint() == first)
    try write(npy([5.5, 1], [1, 2]), to: "\(folder)/s5.npy")
    #expect(try DataSet(path: folder, inputs: [Self.input]).fingerprint() != first)
  }

  @Test func nothingThereIsAnError() throws {
    let folder = try TestFiles.scratch("empty")
    let error = #expect(throws: DataError.self) { try DataSet(path: folder, inputs: [Self.input]) }
    #expect(error?.code == .file)
    try write([1], to: "\(folder)/x.txt")
    #expect(throws: DataError.self) { try DataSet(path: "\(folder)/x.txt", inputs: [Self.input]) }
  }

  @Test func kindsAreNotMixed() throws {
    let folder = try Self.folder()
    try write([0xFF, 0xD8, 0xFF], to: "\(folder)/a.jpg")
    #expect(throws: DataError.self) { try DataSet(path: folder, inputs: [Self.input], preprocessing: Preprocessing()) }
  }

  @Test func badFilesAreSkippedOnlyWhenAsked() throws {
    let folder = try Self.folder()
    try write(npy([1, 2, 3], [1, 3]), to: "\(folder)/s3.npy")
    #expect(throws: DataError.self) { try DataSet(path: folder, inputs: [Self.input]) }
    var options = DataSet.Options()
    options.skipsBad = true
    let data = try DataSet(path: folder, inputs: [Self.input], options: options)
    #expect(data.count == 9)
    #expect(data.skipped.map(\.name) == ["s3.npy"])
  }

  @Test func testDataSets() throws {
    let folder = try TestFiles.scratch("pb")
    let inputs = [
      InputDescription(name: "a", elementType: .float32, shape: [2]),
      InputDescription(name: "b", elementType: .int64, shape: []),
    ]
    for index in [0, 1, 2, 10] {
      let set = "\(folder)/test_data_set_\(index)"
      try FileManager.default.createDirectory(atPath: set, withIntermediateDirectories: true)
      try write(
        try ValueFile.encode(Tensor([Float(index), 0] as [Float], shape: [2]), name: nil), to: "\(set)/input_0.pb")
      try write(try ValueFile.encode(Tensor(scalar: Int64(index)), name: "b"), to: "\(set)/input_1.pb")
      try write([], to: "\(set)/output_0.pb")
    }
    let data = try DataSet(path: folder, inputs: inputs)
    #expect(data.names == [0, 1, 2, 10].map { "test_data_set_\($0)" })
    let sample = try data.load(3)
    #expect(sample["a"]?.array(Float.self) == [10, 0])
    #expect(sample["b"]?.array(Int64.self) == [10])
    let one = try DataSet(path: "\(folder)/test_data_set_1", inputs: inputs)
    #expect(one.count == 1)
    try write([1, 2, 3], to: "\(folder)/test_data_set_1/input_0.pb")
    #expect(throws: DataError.self) { try one.load(0) }
  }

  @Test func labelsFromTextAndArrays() throws {
    let folder = try Self.folder()
    let data = try DataSet(path: folder, inputs: [Self.input])
    try write(
      Array("file,class\n".utf8) + Array((0..<9).map { "s\($0).npy,\($0 * 2)" }.joined(separator: "\n").utf8),
      to: "\(folder)/labels.txt")
    #expect(try Labels(path: "\(folder)/labels.txt").labels(for: data) == (0..<9).map { $0 * 2 } + [nil])
    try write(npy("|u1", [10], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]), to: "\(folder)/labels.npy")
    var options = DataSet.Options()
    (options.shard, options.shardCount) = (1, 3)
    let labels = try Labels(path: "\(folder)/labels.npy")
    try FileManager.default.removeItem(atPath: "\(folder)/labels.npy")
    let shard = try DataSet(path: folder, inputs: [Self.input], options: options)
    #expect(try labels.labels(for: shard) == [8, 5, 2])
    try write(Array("a,b\nc,d\n".utf8), to: "\(folder)/bad.txt")
    #expect(throws: DataError.self) { try Labels(path: "\(folder)/bad.txt") }
  }
}
