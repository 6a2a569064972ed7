import ONNXTensor
import QuantCore
import Testing

struct BlockQuantizationTests {
  private func weight(_ shape: [Int], seed: UInt64 = 3) -> Tensor {
    var state = seed
    let values = (0..<shape.reduce(1, *)).map { _ -> Float in
      var sum: Float = 0
      for _ in 0..<4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        sum += Float(state >> 40) / Float(1 << 24) - 0.5
      }
      return sum
    }
    return Tensor(values, shape: shape)
  }

  /// The squared error that the stored codes give, computed from them alone.
  private func noise(_ exact: Tensor, _ result: BlockQuantized, axis: Int, block: Int) -> Double {
    let values = exact.floats ?? []
    let codes = result.codes.integers ?? []
    let scales = result.scales.floats ?? []
    let zeros = result.zeroPoints?.integers ?? [Int](repeating: 0, count: scales.count)
    let inner = exact.shape[(axis + 1)...].reduce(1, *)
    let extent = exact.shape[axis]
    let blocks = result.scales.shape[axis]
    var sum = 0.0
    for index in values.indices {
      let (outer, along, column) = (index / inner / extent, index / inner % extent, index % inner)
      let place = (outer * blocks + along / block) * inner + column
      let error = Double(values[index]) - Double(codes[index] - zeros[place]) * Double(scales[place])
      sum += error * error
    }
    return sum
  }

  @Test(
    arguments: [ElementType.int4, .uint4, .int8, .uint8],
    [([64, 33], 0), ([33, 64], 1), ([3, 20, 5], 1), ([7, 1], 0), ([1, 7], 1)])
  func theReportedErrorIsThatOfTheCodes(type: ElementType, form: ([Int], Int)) throws {
    let exact = weight(form.0)
    for block in [1, 5, 16, 100] {
      for method in BlockQuantizer.Method.allCases {
        var quantizer = BlockQuantizer(elementType: type, axis: form.1, blockSize: block)
        quantizer.method = method
        let result = try quantizer.quantize(exact)
        #expect(result.codes.shape == exact.shape && result.codes.elementType == type)
        #expect(result.scales.shape[form.1] == (exact.shape[form.1] + block - 1) / block)
        let expected = noise(exact, result, axis: form.1, block: block)
        #expect(abs(result.noise - expected) <= 1e-4 * expected + 1e-9, "\(type) \(form) \(block) \(method)")
        #expect(result.scales.floats?.allSatisfy { $0 > 0 } == true)
      }
    }
  }

  @Test(arguments: [ElementType.int4, .uint4, .int8]) func searchingIsNeverWorse(type: ElementType) throws {
    let exact = weight([256, 48])
    for block in [16, 32, 256] {
      for signed in [false, true] {
        var quantizer = BlockQuantizer(elementType: type, axis: 0, blockSize: block)
        quantizer.allowsNegativeScales = signed
        let nearest = try quantizer.quantize(exact)
        quantizer.method = .leastError
        let best = try quantizer.quantize(exact)
        #expect(best.noise < nearest.noise)
        #expect(best.signal == nearest.signal)
      }
    }
  }

  @Test func threadsAndLayoutChangeNoBit() throws {
    let exact = weight([300, 520])
    let values = exact.array(Float.self)
    let places: [Int] = (0..<values.count).map { index in (index % 300) * 520 + index / 300 }
    let turned = Tensor(places.map { values[$0] }, shape: [520, 300])
    for method in BlockQuantizer.Method.allCases {
      var quantizer = BlockQuantizer(elementType: .int8, axis: 0, blockSize: 32)
      quantizer.method = method
      let one = try quantizer.quantize(exact)
      let four = try quantizer.quantize(exact, threads: 4)
      #expect(one.codes.array(Int8.self) == four.codes.array(Int8.self))
      #expect(one.scales.array(Float.self) == four.scales.array(Float.self))
      #expect(one.noise == four.noise && one.signal == four.signal)
      quantizer.axis = 1
      let other = try quantizer.quantize(turned, threads: 2)
      let codes = one.codes.array(Int8.self)
      #expect(other.codes.array(Int8.self) == places.map { codes[$0] })
    }
  }

  @Test func halfPrecisionScalesAreThoseThatAreStored() throws {
    let values = weight([64, 16]).array(Float.self)
    for exact in [
      Tensor(values.map { Float16($0) }, shape: [64, 16]), Tensor(values.map { BFloat16($0) }, shape: [64, 16]),
    ] {
      var quantizer = BlockQuantizer(elementType: .int8, axis: 0, blockSize: 32)
      quantizer.scaleType = exact.elementType
      quantizer.method = .leastError
      let result = try quantizer.quantize(exact)
      #expect(result.scales.elementType == exact.elementType)
      #expect(abs(result.noise - noise(exact, result, axis: 0, block: 32)) <= 1e-4 * result.noise)
      #expect((result.sqnr ?? 0) > 40)
    }
  }

  @Test func zerosAndExtremesHaveParameters() throws {
    let values: [Float] = [0, 0, 0x1p-140, 3e38, 0, 0, -0x1p-140, -3e38]
    for type in [ElementType.int4, .uint4] {
      for method in BlockQuantizer.Method.allCases {
        var quantizer = BlockQuantizer(elementType: type, axis: 0, blockSize: 1)
        quantizer.method = method
        let result = try quantizer.quantize(Tensor(values, shape: [8, 1]))
        #expect(result.scales.floats?.allSatisfy { $0.isFinite && $0 >= .leastNormalMagnitude } == true)
        #expect(result.scales.floats?.first == 1)
      }
    }
  }

  @Test func whatIsNoNumberIsRefused() {
    for bad in [Float.nan, .infinity, -.infinity] {
      var values = [Float](repeating: 1, count: 64)
      values[37] = bad
      let quantizer = BlockQuantizer(elementType: .int4, axis: 0, blockSize: 16)
      #expect(throws: QuantizationError.self) { try quantizer.quantize(Tensor(values, shape: [32, 2])) }
    }
    let integers = Tensor([Int8](repeating: 1, count: 4), shape: [2, 2])
    #expect(throws: QuantizationError.self) {
      try BlockQuantizer(elementType: .int4, axis: 0, blockSize: 2).quantize(integers)
    }
    #expect(throws: QuantizationError.self) {
      try BlockQuantizer(elementType: .int4, axis: 2, blockSize: 2).quantize(weight([2, 2]))
    }
  }
}
