import ONNXGraph
import ONNXTensor
import OperatorLibrary
import Testing

/// Properties that operators have by definition, and values worked out by hand.
@Suite struct FamilyTests {
  static func ramp(_ shape: [Int], scale: Float = 0.1, from start: Int = -5) -> Tensor {
    Tensor((0..<shape.reduce(1, *)).map { scale * Float((($0 &* 37) % 23) + start) }, shape: shape)
  }

  @Test func transposedConvolutionIsTheAdjoint() throws {
    let x = Self.ramp([1, 3, 7, 6])
    let w = Self.ramp([4, 3, 3, 2])
    let attributes = [Attribute("strides", ints: [2, 2]), Attribute("pads", ints: [1, 0, 1, 1])]
    let y = try OperatorRunner.result("Conv", [x, w], attributes)
    let z = Self.ramp(y.shape, from: -11)
    let back = try OperatorRunner.result(
      "ConvTranspose", [z, w],
      attributes
        + [Attribute("output_padding", ints: [7 - (2 * (y.shape[2] - 1) + 3 - 2), 6 - (2 * (y.shape[3] - 1) + 2 - 1)])])
    #expect(back.shape == x.shape)
    func dot(_ a: Tensor, _ b: Tensor) -> Float {
      zip(a.array(Float.self), b.array(Float.self)).reduce(0) { $0 + $1.0 * $1.1 }
    }
    #expect(abs(dot(y, z) - dot(x, back)) < 1e-3)
  }

  @Test func linearResizeOfARamp() throws {
    let x = Tensor.floats([1, 2, 4], [1, 1, 3])
    let y = try OperatorRunner.result(
      "Resize", opset: 19, [x, nil, .floats([1, 1, 2], [3])], [Attribute("mode", string: "linear")])
    #expect(y.array(Float.self) == [1, 1.25, 1.75, 2.5, 3.5, 4])
    let nearest = try OperatorRunner.result("Resize", opset: 19, [x, nil, nil, .ints([1, 1, 6])])
    #expect(nearest.array(Float.self) == [1, 1, 2, 2, 4, 4])
  }

  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 30, 31, 49])
  func inverseTransformGivesTheSignalBack(count: Int) throws {
    let x = Self.ramp([2, count, 2])
    let spectrum = try OperatorRunner.result("DFT", opset: 20, [x])
    let y = try OperatorRunner.result("DFT", opset: 20, [spectrum], [Attribute("inverse", int: 1)])
    #expect(y.shape == x.shape)
    for (a, b) in zip(x.array(Float.self), y.array(Float.self)) { #expect(abs(a - b) < 1e-5) }
    // The first bin is the sum.
    let sum = stride(from: 0, to: 2 * count, by: 2).reduce(Float(0)) { $0 + x.array(Float.self)[$1] }
    #expect(abs(spectrum.array(Float.self)[0] - sum) < 1e-4)
  }

  @Test func shorterSequencesEndEarly() throws {
    let inputs = [Self.ramp([5, 2, 3]), Self.ramp([1, 16, 3]), Self.ramp([1, 16, 4]), Self.ramp([1, 32])]
    let lengths = Tensor([Int32(5), 2], shape: [2])
    let attributes = [Attribute("hidden_size", int: 4)]
    let full = try OperatorRunner.run("LSTM", inputs + [lengths], outputs: 3, attributes)
    let short = try OperatorRunner.run(
      "LSTM", [inputs[0].rows(0..<2)] + inputs.dropFirst(), outputs: 3, attributes)
    let states = try (#require(full[1]), #require(short[1]))
    #expect(Array(states.0.array(Float.self)[4...]) == Array(states.1.array(Float.self)[4...]))
    let y = try #require(full[0]).array(Float.self)
    for step in 2..<5 { for unit in 0..<4 { #expect(y[(step * 2 + 1) * 4 + unit] == 0) } }
  }

  @Test func groupedHeadsAreRepeatedHeads() throws {
    let q = Self.ramp([1, 4, 3, 2])
    let k = Self.ramp([1, 2, 5, 2], from: -9)
    let v = Self.ramp([1, 2, 5, 3], from: -3)
    func repeated(_ x: Tensor) -> Tensor {
      let size = x.count / 2
      let values = x.array(Float.self)
      var heads: [Float] = []
      for head in 0..<4 { heads += values[(head / 2 * size)..<((head / 2 + 1) * size)] }
      return Tensor(heads, shape: [1, 4] + Array(x.shape[2...]))
    }
    let causal = [Attribute("is_causal", int: 1)]
    let grouped = try OperatorRunner.result("Attention", opset: 24, [q, k, v], causal)
    let plain = try OperatorRunner.result("Attention", opset: 24, [q, repeated(k), repeated(v)], causal)
    #expect(grouped.array(Float.self) == plain.array(Float.self))
    // The first query sees the first key alone.
    #expect(Array(grouped.array(Float.self)[0..<3]) == Array(v.array(Float.self)[0..<3]))
  }

  @Test func quantizedSumRoundsHalfToEven() throws {
    let codes = Tensor((0...255).map { UInt8($0) }, shape: [256])
    let one = Tensor(scalar: Float(1))
    let two = Tensor(scalar: Float(2))
    let zero = Tensor(scalar: UInt8(0))
    let y = try OperatorRunner.result(
      "QLinearAdd", domain: "com.microsoft", [codes, one, zero, Tensor([UInt8(0)], shape: [1]), one, zero, two, zero])
    #expect(y.array(UInt8.self) == (0...255).map { UInt8((Float($0) / 2).rounded(.toNearestOrEven)) })
  }

  @Test func integerConvolutionIsExact() throws {
    let x = Tensor([UInt8](repeating: 255, count: 64), shape: [1, 64, 1, 1])
    let w = Tensor([Int8](repeating: -128, count: 64), shape: [1, 64, 1, 1])
    let y = try OperatorRunner.result("ConvInteger", [x, w])
    #expect(y.array(Int32.self) == [-255 * 128 * 64])
  }

  @Test func blockQuantizedProduct() throws {
    // One block of 8 codes of 4 bits, 0 to 7 in the low bits first; the zero point is 8.
    let a = Tensor.floats([1, 1, 1, 1, 1, 1, 1, 1], [1, 8])
    let b = Tensor([UInt8(0x10), 0x32, 0x54, 0x76], shape: [1, 1, 4])
    let y = try OperatorRunner.result(
      "MatMulNBits", domain: "com.microsoft", [a, b, .floats([0.5], [1])],
      [Attribute("K", int: 8), Attribute("N", int: 1), Attribute("bits", int: 4), Attribute("block_size", int: 8)])
    #expect(y.array(Float.self) == [0.5 * (28 - 64)])
  }

  @Test func shapesThatMakeNoSense() {
    let x = Self.ramp([1, 3, 5, 5])
    let bad: [(String, [Tensor?], [Attribute])] = [
      ("Conv", [x, Self.ramp([2, 4, 3, 3])], []), ("Conv", [x, Self.ramp([2, 3, 7, 3])], []),
      ("Conv", [x, Self.ramp([2, 3, 3, 3])], [Attribute("strides", ints: [0, 1])]),
      ("Conv", [x, Self.ramp([2, 3, 3, 3])], [Attribute("pads", ints: [.max, .max, 1, 1])]),
      ("Conv", [x, Self.ramp([2, 3, 3, 3])], [Attribute("dilations", ints: [.max, 1])]),
      ("MaxPool", [x], []), ("MaxPool", [x], [Attribute("kernel_shape", ints: [9, 9])]),
      ("MatMul", [x, Self.ramp([4, 4])], []), ("Gemm", [x, x], []),
      ("Einsum", [x], [Attribute("equation", string: "ab->a")]),
      ("Resize", [x, nil, .floats([1, 1, 1e30, 1], [4])], []), ("LSTM", [x, x, x], []),
      ("DepthToSpace", [x], [Attribute("blocksize", int: 2)]), ("DFT", [x, .ints([.max], [])], []),
      ("Attention", [x, x, Self.ramp([1, 3, 4, 5])], []),
    ]
    for (opType, inputs, attributes) in bad {
      #expect(throws: (any Error).self, "\(opType)") { try OperatorRunner.result(opType, inputs, attributes) }
    }
  }
}
