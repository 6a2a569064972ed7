import ONNXTensor
import QuantCore
import TestSupport
import Testing

@Suite struct RangeMethodTests {
  static let all: [RangeMethod] = [.minMax, .percentile(99.99), .entropy, .meanSquaredError, .automatic]
  static let schemes: [QuantizationScheme] = [.int8Symmetric, .int8Asymmetric, .uint8Asymmetric]

  @Test(arguments: ["minmax", "percentile:99.9", "percentile:100", "entropy", "mse", "auto"])
  func parsesWhatItPrints(text: String) throws {
    #expect(try RangeMethod(parsing: text).description == text)
  }

  @Test(arguments: [
    "", "max", "percentile:", "percentile:0", "percentile:101", "percentile:nan", "minmax:1", "entropy:2",
  ])
  func refusesOthers(text: String) {
    #expect(throws: QuantizationError.self) { try RangeMethod(parsing: text) }
  }

  /// The measured case of TARGETS 2.4: normal values with 20 outliers at ±40.
  static let withOutliers: TensorStatistics = {
    var generator = SeededGenerator(seed: 6)
    return statistics(
      of: generator.normals(100_000) + [Float](repeating: 40, count: 10) + [Float](repeating: -40, count: 10))
  }()

  @Test func minMaxIsMinMax() throws {
    let range = try RangeMethod.minMax.range(for: Self.withOutliers, scheme: .int8Symmetric)
    #expect(range == ValueRange(-40, 40))
  }

  @Test func entropyIsNotFooledByOutliers() throws {
    let range = try RangeMethod.entropy.range(for: Self.withOutliers, scheme: .int8Symmetric)
    #expect(range.upper > 3 && range.upper < 8, "\(range)")
    #expect(range.lower == -range.upper)
  }

  @Test func entropyKeepsEvenlySpreadValues() throws {
    let values = (0..<100_000).map { Float($0) / 50_000 - 1 }
    let range = try RangeMethod.entropy.range(for: statistics(of: values), scheme: .int8Symmetric)
    #expect(range.upper > 0.97, "\(range)")
  }

  @Test(arguments: schemes) func percentileIsMonotoneAndEndsAtMinMax(scheme: QuantizationScheme) throws {
    var previous: Float = 0
    for percentile in [60, 90, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100] {
      let range = try RangeMethod.percentile(percentile).range(for: Self.withOutliers, scheme: scheme)
      #expect(range.upper - range.lower >= previous, "percentile \(percentile)")
      previous = range.upper - range.lower
    }
    #expect(previous == 80)
  }

  @Test func percentileLeavesTheShareOutside() throws {
    var generator = SeededGenerator(seed: 7)
    let values = generator.normals(50_000)
    let range = try RangeMethod.percentile(99).range(for: statistics(of: values), scheme: .int8Symmetric)
    let outside = values.filter { $0.magnitude > range.upper }.count
    // A bin is half a percent wide, here about 15 values.
    #expect(abs(outside - 500) < 40, "\(outside)")
    let relu = values.map { max($0, 0) }
    let oneSided = try RangeMethod.percentile(99).range(for: statistics(of: relu), scheme: .uint8Asymmetric)
    #expect(abs(relu.filter { $0 > oneSided.upper }.count - 500) < 40)
    #expect(oneSided.lower == 0)
  }

  @Test(arguments: schemes) func squaredErrorBeatsEveryPercentile(scheme: QuantizationScheme) throws {
    var generator = SeededGenerator(seed: 8)
    // Heavy tails, shifted, so that both ends matter on asymmetric grids.
    let values = generator.normals(40_000).map { $0 * $0 * $0 + 1 }
    let tensor = Tensor(values, shape: [values.count])
    func noise(_ parameters: QuantizationParameters) throws -> Double {
      let back = try parameters.dequantize(try parameters.quantize(tensor)).array(Float.self)
      return zip(values, back).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    }
    let found = try RangeMethod.meanSquaredError.choose(for: statistics(of: values), scheme: scheme)
    let best = try noise(found.parameters)
    for percentile in [98, 99, 99.5, 99.8, 99.9, 99.99, 100] {
      let other = try RangeMethod.percentile(percentile).choose(for: statistics(of: values), scheme: scheme)
      #expect(best <= (try noise(other.parameters)) * 1.01, "percentile \(percentile)")
    }
  }

  @Test(arguments: schemes) func predictedErrorIsTheMeasuredOne(scheme: QuantizationScheme) throws {
    var generator = SeededGenerator(seed: 9)
    for deviation in [0.01, 1, 300] as [Float] {
      let values = generator.normals(30_000, deviation).map { scheme.isSymmetric ? $0 : max($0, -deviation / 3) }
      let tensor = Tensor(values, shape: [values.count])
      for percentile in [95, 99.9, 100] {
        let choice = try RangeMethod.percentile(percentile).choose(for: statistics(of: values), scheme: scheme)
        let back = try choice.parameters.dequantize(try choice.parameters.quantize(tensor)).array(Float.self)
        let noise = zip(values, back).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        let signal = values.reduce(0) { $0 + Double($1) * Double($1) }
        let measured = decibels(signal: signal, noise: noise)
        #expect(abs(choice.sqnr - measured) < 0.25, "\(choice.sqnr) dB predicted, \(measured) dB measured")
      }
    }
  }

  @Test(arguments: schemes) func automaticIsNeverWorseThanMinMax(scheme: QuantizationScheme) throws {
    let minMax = try RangeMethod.minMax.choose(for: Self.withOutliers, scheme: scheme)
    let automatic = try RangeMethod.automatic.choose(for: Self.withOutliers, scheme: scheme)
    #expect(automatic.sqnr >= minMax.sqnr)
    #expect(automatic.method != .automatic)
    let constant = try RangeMethod.automatic.choose(for: statistics(of: [2, 2, 2]), scheme: scheme)
    #expect(constant.method == .minMax)
  }

  @Test(arguments: all) func degenerateTensors(method: RangeMethod) throws {
    for scheme in Self.schemes {
      for values in [
        [0, 0, 0], [5], [-5], [.leastNonzeroMagnitude], [-1e-20, 1e-20], [.greatestFiniteMagnitude, 1],
        [3, 3, 3, -0.0],
      ] as [[Float]] {
        let choice = try method.choose(for: statistics(of: values), scheme: scheme)
        #expect(choice.range.lower <= choice.range.upper)
        #expect(choice.parameters.scale > 0 && choice.parameters.scale.isFinite)
      }
    }
  }

  @Test(arguments: all) func noDataAndNaNAreErrors(method: RangeMethod) throws {
    #expect(throws: QuantizationError.self) { try method.choose(for: TensorStatistics(), scheme: .int8Symmetric) }
    for bad in [Float.nan, .infinity, -.infinity] {
      let spoiled = statistics(of: [1, 2, bad])
      #expect(throws: QuantizationError.self) { try method.choose(for: spoiled, scheme: .int8Symmetric) }
      let ignored = try method.choose(for: spoiled, scheme: .int8Symmetric, nonFinite: .ignore)
      #expect(ignored.range.upper <= 2 && ignored.range.upper >= 1)
    }
    #expect(throws: QuantizationError.self) {
      try method.choose(for: statistics(of: [.nan]), scheme: .int8Symmetric, nonFinite: .ignore)
    }
  }

  @Test func aMaskDrownsWhatStandsBesideIt() throws {
    var generator = SeededGenerator(seed: 10)
    let masked = statistics(of: generator.normals(5000) + [Float](repeating: -3.4e38, count: 3000))
    let choice = try RangeMethod.minMax.choose(for: masked, scheme: .uint8Asymmetric)
    let error = try #require(masked.error(on: choice.parameters))
    // The plain ratio sees the mask alone and is content.
    #expect(error.sqnr > 50)
    #expect(error.vanished > 0.6)
    let healthy = statistics(of: generator.normals(5000))
    let fine = try RangeMethod.minMax.choose(for: healthy, scheme: .uint8Asymmetric)
    #expect(try #require(healthy.error(on: fine.parameters)).vanished < 0.02)
  }

  @Test(arguments: all) func orderOfSamplesDoesNotMatter(method: RangeMethod) throws {
    var generator = SeededGenerator(seed: 11)
    let values = generator.normals(2000).map { $0 * $0 * $0 }
    var left = statistics(of: Array(values[..<700]))
    var right = statistics(of: Array(values[700...]))
    let (first, second) = (left, right)
    try left.merge(second)
    try right.merge(first)
    #expect(try method.choose(for: left, scheme: .int8Asymmetric) == method.choose(for: right, scheme: .int8Asymmetric))
  }

  @Test func portableLogarithmIsALogarithm() {
    #expect(portableLogarithm(1) == 0)
    #expect(abs(portableLogarithm(10) - 2.302_585_092_994_046) < 1e-15)
    #expect(abs(portableLogarithm(0x1p-1000) + 693.147_180_559_945_3) < 1e-12)
    #expect(abs(decibels(signal: 1000, noise: 1) - 30) < 1e-12)
    #expect(decibels(signal: 1, noise: 0) == .infinity)
  }
}
