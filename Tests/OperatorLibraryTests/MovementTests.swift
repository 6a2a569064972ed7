import ONNXGraph
import ONNXTensor
import OperatorLibrary
import TestSupport
import Testing

@Suite struct MovementTests {
  static func ramp<T: TensorElement & BinaryInteger>(_ shape: [Int], _: T.Type) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { T(truncatingIfNeeded: $0) }, shape: shape)
  }

  /// Transposition by its definition.
  @Test(arguments: 0..<40)
  func transposeIsWhatIndexingGives(seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let rank = Int.random(in: 0...5, using: &random)
    let shape = (0..<rank).map { _ in Int.random(in: 1...(rank < 4 ? 37 : 5), using: &random) }
    let perm = (0..<rank).shuffled(using: &random)
    let x = Self.ramp(shape, UInt32.self)
    let result = try OperatorRunner.result("Transpose", [x], [Attribute("perm", ints: perm)])
    let target = perm.map { shape[$0] }
    #expect(result.shape == target)
    var strides = [Int](repeating: 1, count: rank)
    for axis in stride(from: rank - 2, through: 0, by: -1) { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    let wanted = (0..<target.reduce(1, *)).map { index -> UInt32 in
      var rest = index
      var position = 0
      for axis in target.indices.reversed() {
        position += rest % target[axis] * strides[perm[axis]]
        rest /= target[axis]
      }
      return UInt32(position)
    }
    #expect(result.array(UInt32.self) == wanted)
  }

  @Test func everyWidthIsMoved() throws {
    let attribute = [Attribute("perm", ints: [1, 0])]
    #expect(
      try OperatorRunner.result("Transpose", [Self.ramp([2, 3], UInt8.self)], attribute).array(UInt8.self) == [
        0, 3, 1, 4, 2, 5,
      ])
    #expect(
      try OperatorRunner.result("Transpose", [Self.ramp([2, 3], Int16.self)], attribute).array(Int16.self) == [
        0, 3, 1, 4, 2, 5,
      ])
    #expect(
      try OperatorRunner.result("Transpose", [Self.ramp([2, 3], Int64.self)], attribute).array(Int64.self) == [
        0, 3, 1, 4, 2, 5,
      ])
    let packed = Tensor(codes: [0, 1, 2, 3, 4, 5], elementType: .uint4, shape: [2, 3])
    #expect(try OperatorRunner.result("Transpose", [packed], attribute).storedCodes == [0, 3, 1, 4, 2, 5])
    let words = Tensor(strings: (0..<6).map { Array("\($0)".utf8) }, shape: [2, 3])
    let moved = try OperatorRunner.result("Transpose", [words], attribute).strings
    #expect(moved?.map { String(decoding: $0, as: UTF8.self) } == ["0", "3", "1", "4", "2", "5"])
  }

  @Test func slicesClampAndRunBackwards() throws {
    let x = Self.ramp([5], Int32.self)
    func slice(_ start: Int64, _ end: Int64, _ step: Int64) throws -> [Int32] {
      try OperatorRunner.result("Slice", [x, .ints([start]), .ints([end]), .ints([0]), .ints([step])]).array()
    }
    #expect(try slice(1, 100, 2) == [1, 3])
    #expect(try slice(-1, -100, -2) == [4, 2, 0])
    #expect(try slice(.max, .min, -1) == [4, 3, 2, 1, 0])
    #expect(try slice(3, 1, 1) == [])
    #expect(try slice(0, .max, .max) == [0])
    #expect(throws: OperatorError.self) { try slice(0, 1, 0) }
  }

  @Test func reshapeRules() throws {
    let x = Self.ramp([2, 3, 4], Int32.self)
    func reshape(_ shape: [Int64], _ attributes: [Attribute] = []) throws -> [Int] {
      try OperatorRunner.result("Reshape", [x, .ints(shape)], attributes).shape
    }
    #expect(try reshape([0, -1]) == [2, 12])
    #expect(try reshape([4, 0, -1]) == [4, 3, 2])
    for bad in [[5, -1], [-1, -1], [0, 0, 0, 0], [24, -2], [.max, .max], [25]] as [[Int64]] {
      #expect(throws: OperatorError.self) { try reshape(bad) }
    }
    #expect(throws: OperatorError.self) { try reshape([0, 24], [Attribute("allowzero", int: 1)]) }
  }

  @Test(
    arguments: [
      ("constant", [0, 0, 1, 2, 3, 0]), ("reflect", [3, 2, 1, 2, 3, 2]), ("edge", [1, 1, 1, 2, 3, 3]),
      ("wrap", [2, 3, 1, 2, 3, 1]),
    ] as [(String, [Float])])
  func padModes(mode: String, expected: [Float]) throws {
    let result = try OperatorRunner.result(
      "Pad", opset: 19, [.floats([1, 2, 3], [3]), .ints([2, 1])], [Attribute("mode", string: mode)])
    #expect(result.array(Float.self) == expected)
  }

  @Test func inferenceComputesShapes() throws {
    // Shape -> Gather -> Concat, the usual chain before a Reshape.
    func infer(_ opType: String, _ inputs: [InferredValue?], _ attributes: [Attribute] = []) throws -> InferredValue? {
      let node = OperatorRunner.node(opType, inputs: inputs.count, attributes: attributes)
      return try OperatorCatalog.find(node)?.infer(OperatorNode(node, opset: 22), inputs).first ?? nil
    }
    let x = InferredValue.tensor(.float32, [2, 3, 4])
    let shape = try infer("Shape", [x])
    let index = InferredValue(.tensor(.int64, [1]), constant: .ints([-1]))
    let last = try infer("Gather", [shape, index])
    let minusOne = InferredValue(.tensor(.int64, [1]), constant: .ints([-1]))
    let target = try infer("Concat", [minusOne, last], [Attribute("axis", int: 0)])
    #expect(target?.constant?.integers == [-1, 4])
    #expect(try infer("Reshape", [x, target])?.staticShape == [6, 4])
  }
}
