import ONNXTensor
import OperatorLibrary
import Testing

@Suite struct BroadcastingTests {
  /// Shapes, and the shape that they broadcast to (nil: an error).
  static let table: [([Int], [Int], [Int]?)] = [
    ([], [], []), ([2, 3], [2, 3], [2, 3]), ([2, 3], [], [2, 3]), ([2, 3], [3], [2, 3]), ([2, 3], [2, 1], [2, 3]),
    ([2, 1, 4], [3, 1], [2, 3, 4]), ([1, 5, 1, 1], [2, 5, 3, 4], [2, 5, 3, 4]), ([0], [1], [0]),
    ([2, 0], [1], [2, 0]),
    ([0, 1], [1, 3], [0, 3]), ([2], [3], nil), ([0], [2], nil), ([2, 3], [2], nil), ([1, 1, 1], [4], [1, 1, 4]),
    ([2, 3, 4], [2, 1, 4], [2, 3, 4]), ([3, 1, 2], [1, 4, 1], [3, 4, 2]), ([2, 1, 2, 1], [1, 2, 1, 2], [2, 2, 2, 2]),
  ]

  @Test(arguments: table.indices, ["Add", "Mul", "Sub"])
  func everyElementIsTheOneThatIndexingGives(row: Int, opType: String) throws {
    let (a, b, expected) = Self.table[row]
    for swapped in [false, true] {
      let (left, right) = swapped ? (b, a) : (a, b)
      let x = Self.ramp(left, from: 1)
      let y = Self.ramp(right, from: 100)
      guard let expected else {
        #expect(throws: OperatorError.self) { try OperatorRunner.result(opType, [x, y]) }
        continue
      }
      let result = try OperatorRunner.result(opType, [x, y])
      #expect(result.shape == expected)
      let (p, q) = (x.array(Float.self), y.array(Float.self))
      let wanted = (0..<expected.reduce(1, *)).map { index -> Float in
        let (u, v) = (p[Self.position(index, expected, left)], q[Self.position(index, expected, right)])
        return opType == "Add" ? u + v : opType == "Mul" ? u * v : u - v
      }
      #expect(result.array(Float.self) == wanted)
      let integers = try OperatorRunner.result(opType, [Self.integers(x), Self.integers(y)])
      #expect(integers.array(Int32.self) == wanted.map { Int32($0) })
    }
  }

  static func ramp(_ shape: [Int], from start: Float) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { start + Float($0) }, shape: shape)
  }

  static func integers(_ tensor: Tensor) -> Tensor {
    Tensor(tensor.array(Float.self).map { Int32($0) }, shape: tensor.shape)
  }

  /// Where element `index` of a result lies in an input.
  static func position(_ index: Int, _ shape: [Int], _ input: [Int]) -> Int {
    var rest = index
    var (position, stride) = (0, 1)
    for axis in shape.indices.reversed() {
      let own = axis - (shape.count - input.count)
      if own >= 0 {
        position += (input[own] == 1 ? 0 : rest % shape[axis]) * stride
        stride *= input[own]
      }
      rest /= shape[axis]
    }
    return position
  }

  @Test func whereBroadcastsThreeInputs() throws {
    let result = try OperatorRunner.result(
      "Where",
      [Tensor([true, false], shape: [2, 1]), .floats([1, 2, 3], [3]), .floats([9], [])])
    #expect(result.shape == [2, 3])
    #expect(result.array(Float.self) == [1, 2, 3, 9, 9, 9])
  }
}
