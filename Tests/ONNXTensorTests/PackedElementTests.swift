import ONNXTensor
import TestSupport
import Testing

@Suite struct PackedElementTests {
  static let packed: [ElementType] = [.uint4, .int4, .float4E2M1, .uint2, .int2]

  @Test(arguments: packed) func codesRoundTrip(type: ElementType) {
    var random = SeededGenerator(seed: 4)
    for count in 0...19 {
      let codes = (0..<count).map { _ in UInt8.random(in: 0..<(1 << type.bitWidth), using: &random) }
      let tensor = Tensor(codes: codes, elementType: type, shape: [count])
      #expect(tensor.storedCodes == codes)
      #expect(tensor.byteCount == (count * type.bitWidth + 7) / 8)
      // Spare bits of the last byte are zero, so that equal tensors are equal bytes.
      if let last = tensor.withBytes({ $0.last }), count * type.bitWidth % 8 != 0 {
        #expect(last >> UInt8(count * type.bitWidth % 8) == 0)
      }
    }
  }

  @Test func theFirstElementIsInTheLowBits() {
    #expect(Tensor(codes: [0x1, 0xA, 0x3], elementType: .uint4, shape: [3]).withBytes(Array.init) == [0xA1, 0x03])
    #expect(
      Tensor(codes: [1, 2, 3, 0, 2], elementType: .uint2, shape: [5]).withBytes(Array.init) == [0b00_11_10_01, 0b10])
  }

  @Test func codesAreCutToTheirWidth() {
    #expect(Tensor(codes: [0xF1, 0xF2], elementType: .uint4, shape: [2]).storedCodes == [1, 2])
    #expect(Tensor(codes: [0xFE, 0xFD], elementType: .int2, shape: [2]).storedCodes == [2, 1])
  }

  @Test func integersAreTwosComplement() {
    let all4 = Tensor(codes: Array(0..<16), elementType: .int4, shape: [16])
    #expect(all4.integers == Array(0...7) + Array(-8 ... -1))
    #expect(all4.reinterpreted(as: .uint4).integers == Array(0..<16))
    let all2 = Tensor(codes: [0, 1, 2, 3], elementType: .int2, shape: [4])
    #expect(all2.integers == [0, 1, -2, -1])
    #expect(all2.reinterpreted(as: .uint2).integers == [0, 1, 2, 3])
    #expect(all4.floats == (Array(0...7) + Array(-8 ... -1)).map(Float.init))
  }

  @Test func integersOfEveryWidth() {
    #expect(Tensor([Int64.min, -1, .max], shape: [3]).integers == [.min, -1, .max])
    #expect(Tensor([UInt64.max, 5], shape: [2]).integers == [.max, 5])
    #expect(Tensor([Int32.min, .max], shape: [2]).integers == [Int(Int32.min), Int(Int32.max)])
    #expect(Tensor([UInt32.max], shape: []).integers == [Int(UInt32.max)])
    #expect(Tensor([Int16.min], shape: [1]).integers == [-32768])
    #expect(Tensor([UInt16.max], shape: [1]).integers == [65535])
    #expect(Tensor([Int8.min], shape: [1]).integers == [-128])
    #expect(Tensor([UInt8.max], shape: [1]).integers == [255])
    #expect(Tensor([true, false], shape: [2]).integers == [1, 0])
    #expect(Tensor([1.5 as Float], shape: [1]).integers == nil)
    #expect(Tensor(strings: [Array("1".utf8)], shape: [1]).integers == nil)
  }

  @Test func realsOfEveryWidth() {
    #expect(Tensor([Float16(1.5), -2], shape: [2]).floats == [1.5, -2])
    #expect(Tensor([BFloat16(1.5), BFloat16(-2)], shape: [2]).floats == [1.5, -2])
    #expect(Tensor([1 + 0x1p-40, -0.1], shape: [2]).floats == [1, -0.1 as Float])
    #expect(Tensor(codes: [0x38, 0xC0], elementType: .float8E4M3FN, shape: [2]).floats == [1, -2])
    #expect(Tensor(codes: [0x2, 0xF], elementType: .float4E2M1, shape: [2]).floats == [1, -6])
    #expect(Tensor(strings: [[]], shape: [1]).floats == nil)
    #expect(Tensor(.complex64, shape: [1]) { _ = $0.initializeMemory(as: UInt8.self, repeating: 0) }.floats == nil)
  }
}
