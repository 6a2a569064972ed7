import ONNXTensor
import QuantCore
import TestSupport
import Testing

@Suite struct ScaleSelectionTests {
  static let schemes: [QuantizationScheme] = [ElementType.int8, .uint8, .int16, .uint16, .int4, .uint4, .int2, .uint2]
    .flatMap { [QuantizationScheme($0, symmetric: true), QuantizationScheme($0, symmetric: false)] }

  @Test func symmetricInt8() throws {
    let parameters = try QuantizationScheme.int8Symmetric.parameters(for: ValueRange(-3, 12.7))
    #expect(parameters.scale == Float(12.7) / 127)
    #expect(parameters.zeroPoint == 0)
  }

  @Test func asymmetricUInt8() throws {
    let parameters = try QuantizationScheme.uint8Asymmetric.parameters(for: ValueRange(-1, 3))
    #expect(parameters.scale == Float(4.0 / 255))
    #expect(parameters.zeroPoint == 64)
    let positive = try QuantizationScheme.int8Asymmetric.parameters(for: ValueRange(0.5, 6))
    #expect(positive.zeroPoint == -128)
    #expect(positive.scale == Float(6.0 / 255))
  }

  @Test func symmetricUnsignedIsCentred() throws {
    let parameters = try QuantizationScheme(.uint8, symmetric: true).parameters(for: ValueRange(-2, 1))
    #expect(parameters.zeroPoint == 128)
    #expect(parameters.scale == Float(2.0 / 127))
  }

  @Test(arguments: schemes) func zeroIsExactAndTheRangeIsCovered(scheme: QuantizationScheme) throws {
    var generator = SeededGenerator(seed: 5)
    let codes = try #require(QuantizationScheme.codes(of: scheme.elementType))
    for _ in 0..<300 {
      let first = generator.normal(
        Float(sign: .plus, exponent: Int.random(in: -20...20, using: &generator), significand: 1))
      let second = generator.normal(
        Float(sign: .plus, exponent: Int.random(in: -20...20, using: &generator), significand: 1))
      let range = ValueRange(min(first, second), max(first, second))
      let parameters = try scheme.parameters(for: range)
      #expect(codes.contains(parameters.zeroPoint))
      #expect(parameters.scale > 0 && parameters.scale.isFinite)
      for bound in [range.lower, range.upper, 0] {
        let code = (Double(bound) / Double(parameters.scale)).rounded(.toNearestOrEven) + Double(parameters.zeroPoint)
        let clamped = min(max(code, Double(codes.lowerBound)), Double(codes.upperBound))
        let back = (clamped - Double(parameters.zeroPoint)) * Double(parameters.scale)
        // A bound may lose a step to the rounding of the zero point, never more.
        #expect(abs(back - Double(bound)) <= Double(parameters.scale) * 1.001)
        if bound == 0 { #expect(back == 0) }
      }
    }
  }

  @Test(arguments: schemes) func degenerateRanges(scheme: QuantizationScheme) throws {
    let zero = try scheme.parameters(for: ValueRange(0, 0))
    #expect(zero.scale == 1)
    let constant = try scheme.parameters(for: ValueRange(5, 5))
    #expect(constant.scale > 0 && constant.scale <= 5)
    let tiniest = Float.leastNonzeroMagnitude * 7
    let tiny = try scheme.parameters(for: ValueRange(-tiniest, tiniest))
    #expect(tiny.scale == .leastNormalMagnitude)
    let huge = try scheme.parameters(for: ValueRange(-.greatestFiniteMagnitude, .greatestFiniteMagnitude))
    #expect(huge.scale.isFinite || scheme.elementType.bitWidth == 2)
  }

  @Test func nonFiniteRangesAreRefused() {
    for range in [ValueRange(.nan, 1), ValueRange(0, .infinity), ValueRange(-.infinity, 0), ValueRange(2, 1)] {
      #expect(throws: QuantizationError.self) { try QuantizationScheme.int8Symmetric.parameters(for: range) }
    }
  }

  @Test func floatTypesAreNoGrids() {
    #expect(throws: QuantizationError.self) {
      try QuantizationScheme(.float16, symmetric: true).parameters(for: ValueRange(-1, 1))
    }
  }
}
