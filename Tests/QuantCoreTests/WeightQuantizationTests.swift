import ONNXTensor
import QuantCore
import TestSupport
import Testing

@Suite struct WeightQuantizationTests {
  @Test func perChannelSymmetric() throws {
    let weights = Tensor([1, -2, 0.5, 4, 3, -1] as [Float], shape: [2, 3])
    let (codes, parameters) = try WeightQuantizer(axis: 0).quantize(weights)
    #expect(parameters.scales == [Float(2.0 / 127), Float(4.0 / 127)])
    #expect(parameters.axis == 0)
    #expect(codes.array(Int8.self) == [64, -127, 32, 127, 95, -32])
    let columns = try WeightQuantizer(axis: -1).parameters(for: weights)
    #expect(columns.axis == 1)
    #expect(columns.scales == [4, 3, 1].map { Float($0 / 127.0) })
  }

  @Test func roundsHalfToEven() throws {
    let weights = Tensor([0.5, 1.5, 2.5, -0.5, -1.5, 127] as [Float], shape: [6])
    let (codes, _) = try WeightQuantizer(axis: nil).quantize(weights)
    #expect(codes.array(Int8.self) == [0, 2, 2, 0, -2, 127])
  }

  @Test func deadChannelsStayDead() throws {
    let weights = Tensor([1e-12, -1e-12, 0.5, 0.25, 0, 0] as [Float], shape: [3, 2])
    let (codes, parameters) = try WeightQuantizer(axis: 0).quantize(weights)
    let back = try parameters.dequantize(codes).array(Float.self)
    for (value, exact) in zip(back, weights.array(Float.self)) { #expect(abs(value - exact) <= 0.003) }
    #expect(back[0].magnitude < 1.1e-12)
    #expect(Array(back[4...]) == [0, 0])
    // With the smallest scale that a bias needs they vanish instead of growing.
    let floored = WeightQuantizer(axis: 0, smallestScales: [1e-3, 1e-3, 1e-3])
    let (flooredCodes, flooredParameters) = try floored.quantize(weights)
    #expect(flooredParameters.scales[0] == 1e-3)
    #expect(Array(try flooredParameters.dequantize(flooredCodes).array(Float.self)[..<2]) == [0, 0])
  }

  @Test func squaredErrorNeverLoses() throws {
    var generator = SeededGenerator(seed: 12)
    let values = generator.normals(4 * 300).map { $0 * $0 * $0 }
    let weights = Tensor(values, shape: [4, 300])
    for type in [ElementType.int8, .int4] {
      func noise(_ method: WeightQuantizer.Method) throws -> Double {
        let quantizer = WeightQuantizer(scheme: .init(type, symmetric: true), axis: 0, method: method)
        let (codes, parameters) = try quantizer.quantize(weights)
        let back = try parameters.dequantize(codes).array(Float.self)
        return zip(values, back).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
      }
      let (searched, plain) = (try noise(.meanSquaredError), try noise(.minMax))
      #expect(searched <= plain)
      if type == .int4 { #expect(searched < 0.9 * plain) }
    }
  }

  @Test(arguments: [ElementType.int8, .uint8, .int16, .uint16, .int4, .uint4, .int2, .uint2])
  func asymmetricRoundTrip(type: ElementType) throws {
    var generator = SeededGenerator(seed: 13)
    let weights = Tensor(generator.normals(7 * 5).map { $0 + 0.5 }, shape: [7, 5])
    let (codes, parameters) = try WeightQuantizer(scheme: .init(type, symmetric: false), axis: 1).quantize(weights)
    #expect(codes.elementType == type)
    let back = try parameters.dequantize(codes).array(Float.self)
    for (index, (value, exact)) in zip(back, weights.array(Float.self)).enumerated() {
      #expect(abs(value - exact) <= parameters.scales[index % 5] * 1.01)
    }
  }

  @Test func unusableWeightsAreRefused() {
    let quantizer = WeightQuantizer(axis: 0)
    #expect(throws: QuantizationError.self) { try quantizer.quantize(Tensor([1, .nan] as [Float], shape: [2])) }
    #expect(throws: QuantizationError.self) { try quantizer.quantize(Tensor([.infinity] as [Float], shape: [1])) }
    #expect(throws: QuantizationError.self) { try quantizer.quantize(Tensor([1] as [Int64], shape: [1])) }
    #expect(throws: QuantizationError.self) {
      try WeightQuantizer(axis: 2).quantize(Tensor([1] as [Float], shape: [1]))
    }
    #expect(throws: QuantizationError.self) { try quantizer.quantize(Tensor(scalar: Float(1))) }
  }

  @Test func emptyWeightsAreFine() throws {
    let (codes, parameters) = try WeightQuantizer(axis: 0).quantize(Tensor([] as [Float], shape: [0, 3]))
    #expect(codes.count == 0 && parameters.scales.isEmpty)
  }
}
