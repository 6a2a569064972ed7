import ONNXGraph
import ONNXTensor
import OperatorLibrary
import Testing

@Suite struct QuantizeLinearTests {
  @Test func halvesGoToEvenAndTheRangeSaturates() throws {
    let x = Tensor.floats([0.5, 1.5, 2.5, -0.5, 1000, -1000, .infinity, -.infinity], [8])
    let result = try OperatorRunner.result("QuantizeLinear", [x, .floats([1], []), Tensor(scalar: Int8(1))])
    #expect(result.array(Int8.self) == [1, 3, 3, 1, 127, -128, 127, -128])
  }

  @Test func axesAndBlocks() throws {
    let x = Tensor.floats([1, 2, 3, 4, 5, 6, 7, 8], [2, 4])
    let perAxis = try OperatorRunner.result(
      "QuantizeLinear", [x, .floats([1, 2], [2]), Tensor([0, 1] as [UInt8], shape: [2])], [Attribute("axis", int: 0)])
    #expect(perAxis.array(UInt8.self) == [1, 2, 3, 4, 3, 4, 5, 5])
    let scale = Tensor.floats([1, 2, 0.5, 4], [2, 2])
    let attributes = [Attribute("axis", int: 1), Attribute("block_size", int: 3)]
    let blocked = try OperatorRunner.result("QuantizeLinear", [x, scale], attributes)
    #expect(blocked.array(UInt8.self) == [1, 2, 3, 2, 10, 12, 14, 2])
    let back = try OperatorRunner.result("DequantizeLinear", [blocked, scale], attributes)
    #expect(back.array(Float.self) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(throws: OperatorError.self) {
      try OperatorRunner.result(
        "QuantizeLinear", [x, scale], [Attribute("axis", int: 1), Attribute("block_size", int: 4)])
    }
  }

  @Test(arguments: [ElementType.int4, .uint4, .int2, .uint2, .int16, .uint16, .float8E4M3FN, .float4E2M1])
  func everyStorageTypeGoesThereAndBack(type: ElementType) throws {
    let values: [Float] = type == .uint4 || type == .uint2 || type == .uint16 ? [0, 1, 1, 0] : [-1, 0, 1, -1]
    let q = try OperatorRunner.result(
      "QuantizeLinear", opset: 25, [.floats(values, [4]), .floats([1], [])],
      [Attribute("output_dtype", int: Int(type.rawValue))])
    #expect(q.elementType == type)
    let back = try OperatorRunner.result("DequantizeLinear", opset: 25, [q, .floats([1], [])])
    #expect(back.array(Float.self) == values)
  }

  @Test func dynamicRangeIncludesZero() throws {
    let results = try OperatorRunner.run("DynamicQuantizeLinear", [.floats([2, 4], [2])], outputs: 3)
    #expect(results[1]?.array(Float.self) == [Float(4) / 255])
    #expect(results[2]?.array(UInt8.self) == [0])
    // 2 / scale is just below 127.5, as in the reference.
    #expect(results[0]?.array(UInt8.self) == [127, 255])
  }
}
