import FoundationEssentials
import ONNXTensor
import QuantCalibration
import TestSupport
import Testing

@Suite struct ArrayDataTests {
  static let open = InputDescription(name: "a", elementType: nil, shape: nil)

  @Test(arguments: ["fortran.npy", "big_endian.npy", "stored.npz:a", "deflated.npz:a", "zip64.npz", "zip64.npz:a"])
  func everyFormHoldsTheSameArray(file: String) throws {
    let expected = try #require(try DataSet(path: fixture("stack.npy"), inputs: [Self.open]).load(0)["a"])
    #expect(expected.shape == [5, 3, 4])
    let found = try #require(try DataSet(path: fixture(file), inputs: [Self.open]).load(0)["a"])
    expectSame(found, expected)
  }

  @Test(arguments: ["double.npy", "half.npy"]) func otherFloatsBecomeTheInputsType(file: String) throws {
    let input = InputDescription(name: "a", elementType: .float32, shape: [5, 3, 4])
    let expected = try #require(try DataSet(path: fixture("stack.npy"), inputs: [input]).load(0)["a"])
    let found = try #require(try DataSet(path: fixture(file), inputs: [input]).load(0)["a"])
    #expect(found.elementType == .float32)
    for (left, right) in zip(found.array(Float.self), expected.array(Float.self)) { #expect(abs(left - right) < 0.002) }
  }

  @Test(arguments: [[1, 3, 4], [nil, 3, 4], [nil, nil, nil]] as [[Int?]])
  func stacksAreSplitAlongTheBatch(shape: [Int?]) throws {
    let input = InputDescription(name: "a", elementType: .float32, shape: shape)
    for file in ["stack.npy", "fortran.npy", "deflated.npz:a"] {
      let data = try DataSet(path: fixture(file), inputs: [input])
      #expect(data.count == 5)
      #expect(data.names[3] == "\(file)[3]")
      let whole = try #require(try DataSet(path: fixture("stack.npy"), inputs: [Self.open]).load(0)["a"])
      for index in [3, 1, 4, 0, 2] {
        expectSame(try #require(try data.load(index)["a"]), whole.rows(index..<index + 1))
      }
    }
  }

  @Test func anArrayWithoutTheBatchAxisIsOneSample() throws {
    let input = InputDescription(name: "a", elementType: .float32, shape: [nil, 5, 3, 4])
    let data = try DataSet(path: fixture("stack.npy"), inputs: [input])
    #expect(data.names == ["stack.npy"])
    #expect(try data.load(0)["a"]?.shape == [1, 5, 3, 4])
  }

  @Test func largerFixedBatchesAreKept() throws {
    let input = InputDescription(name: "a", elementType: .float32, shape: [5, 3, 4])
    #expect(try DataSet(path: fixture("stack.npy"), inputs: [input]).load(0)["a"]?.shape == [5, 3, 4])
    let odd = InputDescription(name: "a", elementType: .float32, shape: [2, 3, 4])
    #expect(throws: DataError.self) { try DataSet(path: fixture("stack.npy"), inputs: [odd]) }
  }

  @Test func archivesBindByInputName() throws {
    let inputs = [
      InputDescription(name: "b", elementType: .int32, shape: [nil, 2]),
      InputDescription(name: "a", elementType: .float32, shape: [nil, 3, 4]),
    ]
    let data = try DataSet(path: fixture("deflated.npz"), inputs: inputs)
    #expect(data.count == 5)
    let sample = try data.load(4)
    #expect(sample["b"]?.array(Int32.self) == [8, 9])
    #expect(sample["a"]?.shape == [1, 3, 4])
  }

  @Test func whatDoesNotFitNamesFileAndInput() throws {
    let wrong = InputDescription(name: "pixels", elementType: .float32, shape: [1, 3, 5])
    let error = #expect(throws: DataError.self) { try DataSet(path: fixture("stack.npy"), inputs: [wrong]) }
    let text = try #require(error?.description)
    #expect(text.contains("stack.npy") && text.contains("pixels") && text.contains("[5, 3, 4]"), "\(text)")
    let missing = InputDescription(name: "z", elementType: .float32, shape: nil)
    #expect(throws: DataError.self) { try DataSet(path: fixture("stored.npz"), inputs: [missing]) }
    #expect(throws: DataError.self) { try DataSet(path: fixture("stored.npz:z"), inputs: [missing]) }
    #expect(throws: DataError.self) { try DataSet(path: fixture("absent.npy"), inputs: [missing]) }
  }

  @Test func integersDoNotBecomeFloatsInSilence() throws {
    let input = InputDescription(name: "b", elementType: .float32, shape: [nil, 2])
    let data = try DataSet(path: fixture("stored.npz:b"), inputs: [input])
    let error = #expect(throws: DataError.self) { try data.load(0) }
    #expect(try #require(error?.description).contains("--preset raw"))
  }

  @Test func truncatedAndMutatedFilesAreErrors() throws {
    let folder = try TestFiles.scratch("arrays")
    var generator = SeededGenerator(seed: 21)
    for file in ["stack.npy", "stored.npz", "deflated.npz", "zip64.npz"] {
      let whole = try bytes(of: fixture(file))
      let path = "\(folder)/\(file)"
      func load() throws {
        let data = try DataSet(path: path, inputs: [Self.open])
        for index in 0..<data.count { _ = try data.load(index) }
      }
      for length in stride(from: 0, to: whole.count, by: 3) {
        try write(whole[..<length], to: path)
        #expect(throws: DataError.self, "\(file) cut to \(length)") { try load() }
      }
      for _ in 0..<1500 {
        var mutated = whole
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
          mutated[Int.random(in: 0..<mutated.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        }
        try write(mutated, to: path)
        // Either outcome is good; a trap is not.
        try? load()
      }
    }
  }

  @Test func impossibleHeadersAreRefused() throws {
    let folder = try TestFiles.scratch("headers")
    for content in [
      npy("<f4", [1 << 62, 1 << 62], []), npy("<f4", [0, 1 << 62, 1 << 62], []), npy("<U5", [1], []),
      npy("|O", [1], []),
      npy("<f4", [3], [1, 2, 3]), Array("not an array".utf8), [],
    ] {
      try write(content, to: "\(folder)/x.npy")
      #expect(throws: DataError.self) { try DataSet(path: "\(folder)/x.npy", inputs: [Self.open]) }
    }
  }
}
