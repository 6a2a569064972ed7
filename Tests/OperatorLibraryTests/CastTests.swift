import ONNXGraph
import ONNXTensor
import OperatorLibrary
import Testing

@Suite struct CastTests {
  func cast(_ tensor: Tensor, _ type: ElementType, _ attributes: [Attribute] = []) throws -> Tensor {
    try OperatorRunner.result("Cast", opset: 24, [tensor], [Attribute("to", int: Int(type.rawValue))] + attributes)
  }

  @Test func integersWrapAndFloatsSaturate() throws {
    let wide = Tensor([200, -129, 65_537] as [Int32], shape: [3])
    #expect(try cast(wide, .int8).array(Int8.self) == [-56, 127, 1])
    let floats = Tensor.floats([1e9, -1e9, .nan, 3.9, -3.9], [5])
    #expect(try cast(floats, .int8).array(Int8.self) == [127, -128, 0, 3, -3])
    #expect(try cast(floats, .bool).array(Bool.self) == [true, true, true, true, true])
  }

  @Test func doublesRoundOnceToBFloat16() throws {
    // Just above half way between two bfloat16: rounding through float32 first would lose the bit that decides.
    let value = 1 + 0x1p-8 + 0x1p-40
    let result = try cast(Tensor([value, -value], shape: [2]), .bfloat16).array(BFloat16.self).map(\.float)
    #expect(result == [1 + 0x1p-7, -1 - 0x1p-7])
  }

  @Test func packedTypesKeepTheirCodes() throws {
    let values = Tensor([-8, 7, 3, -1, 0] as [Int8], shape: [5])
    let packed = try cast(values, .int4)
    #expect(packed.byteCount == 3)
    #expect(try cast(packed, .int8).array(Int8.self) == [-8, 7, 3, -1, 0])
  }

  @Test func stringsRoundTrip() throws {
    let floats = Tensor.floats([0.5, -1e30, 12345.678, 1e-7, .infinity], [5])
    let text = try cast(floats, .string)
    #expect(
      text.strings?.map { String(decoding: $0, as: UTF8.self) } == ["0.5", "-1e+30", "12345.678", "1e-07", "inf"])
    #expect(try cast(text, .float32).array(Float.self) == floats.array(Float.self))
    #expect(throws: OperatorError.self) { try cast(Tensor(strings: [Array("word".utf8)], shape: [1]), .float32) }
  }

  @Test(
    arguments: [("up", [127, 128, 128]), ("down", [127, 127, 127]), ("nearest", [127, 127, 128])] as [(String, [UInt8])]
  )
  func powersOfTwo(mode: String, codes: [UInt8]) throws {
    let result = try cast(.floats([1, 1.25, 1.5], [3]), .float8E8M0, [Attribute("round_mode", string: mode)])
    #expect(result.storedCodes == codes)
  }
}
