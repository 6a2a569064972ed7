import ONNXTensor
import TestSupport
import Testing

/// Every code of every format, and every place where rounding decides, against a search over all values.
@Suite struct MinifloatFormatTests {
  static let types: [ElementType] = [
    .float8E4M3FN, .float8E4M3FNUZ, .float8E5M2, .float8E5M2FNUZ, .float4E2M1, .float6E2M3, .float6E3M2,
  ]

  static func format(_ type: ElementType) throws -> MinifloatFormat { try #require(MinifloatFormat(type)) }

  static func codes(_ format: MinifloatFormat) -> ClosedRange<UInt8> {
    0...UInt8((1 << (1 + format.exponentBits + format.mantissaBits)) - 1)
  }

  /// Finite values of the positive codes, ascending: the code is the index.
  static func ladder(_ format: MinifloatFormat) -> [Float] {
    codes(format).prefix { format.decode($0).isFinite && format.decode($0).sign == .plus }.map { format.decode($0) }
  }

  @Test func otherTypesHaveNoFormat() {
    let formats = Set(Self.types + [.float8E8M0])
    for type in ElementType.allCases { #expect((MinifloatFormat(type) != nil) == formats.contains(type), "\(type)") }
  }

  struct Facts: Sendable {
    var type: ElementType
    var largest: Float
    var smallest: Float
    var nans: Int
    var infinities: Int
  }

  /// From the standards' tables (ONNX "Float stored in 8 bits", OCP Microscaling Formats).
  @Test(arguments: [
    Facts(type: .float8E4M3FN, largest: 448, smallest: 0x1p-9, nans: 2, infinities: 0),
    Facts(type: .float8E4M3FNUZ, largest: 240, smallest: 0x1p-10, nans: 1, infinities: 0),
    Facts(type: .float8E5M2, largest: 57344, smallest: 0x1p-16, nans: 6, infinities: 2),
    Facts(type: .float8E5M2FNUZ, largest: 57344, smallest: 0x1p-17, nans: 1, infinities: 0),
    Facts(type: .float4E2M1, largest: 6, smallest: 0.5, nans: 0, infinities: 0),
    Facts(type: .float6E2M3, largest: 7.5, smallest: 0.125, nans: 0, infinities: 0),
    Facts(type: .float6E3M2, largest: 28, smallest: 0.0625, nans: 0, infinities: 0),
  ])
  func factsOfTheStandards(facts: Facts) throws {
    let format = try Self.format(facts.type)
    let values = Self.codes(format).map { format.decode($0) }
    #expect(format.largest == facts.largest)
    #expect(values.filter(\.isFinite).max() == facts.largest)
    #expect(values.filter { $0 > 0 }.min() == facts.smallest)
    #expect(values.count(where: \.isNaN) == facts.nans)
    #expect(values.count(where: \.isInfinite) == facts.infinities)
  }

  @Test func allValuesOfFloat4() throws {
    let format = try Self.format(.float4E2M1)
    #expect((0..<16).map { format.decode($0) } == [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
  }

  @Test(arguments: types) func everyCodeRoundTrips(type: ElementType) throws {
    let format = try Self.format(type)
    for code in Self.codes(format) {
      let value = format.decode(code)
      for saturating in [true, false] {
        let encoded = format.encode(value, saturating: saturating)
        if value.isNaN {
          #expect(format.decode(encoded).isNaN, "code \(code)")
        } else if value.isInfinite && saturating {
          #expect(format.decode(encoded).magnitude == format.largest, "code \(code)")
        } else {
          #expect(encoded == code, "code \(code)")
        }
      }
    }
  }

  /// Values grow with their codes, which is what makes half to even a matter of the code's last bit.
  @Test(arguments: types) func valuesAscend(type: ElementType) throws {
    let ladder = Self.ladder(try Self.format(type))
    #expect(ladder.first == 0)
    #expect(zip(ladder, ladder.dropFirst()).allSatisfy { $0 < $1 })
  }

  /// The code that a search over all finite values finds: the nearest, of two the even one; nil past the largest.
  static func nearest(_ magnitude: Float, _ ladder: [Float]) -> UInt8? {
    let value = Double(magnitude)
    let values = ladder.map(Double.init)
    // One step more of the same width stands for all that lies beyond.
    let beyond = 2 * values[values.count - 1] - values[values.count - 2]
    var best = 0
    var least = Double.infinity
    for (code, candidate) in (values + [beyond]).enumerated() {
      let distance = (candidate - value).magnitude
      if distance < least || (distance == least && code % 2 == 0) { (best, least) = (code, distance) }
    }
    return value > beyond || best == values.count ? nil : UInt8(best)
  }

  static func probes(_ ladder: [Float]) -> [Float] {
    var probes: [Float] = [0, .leastNonzeroMagnitude, .leastNormalMagnitude, .greatestFiniteMagnitude]
    let last = ladder[ladder.count - 1]
    for (low, high) in zip(ladder, ladder.dropFirst() + [2 * last - ladder[ladder.count - 2]]) {
      let middle = (low + high) / 2
      probes += [low, low.nextUp, low.nextDown.magnitude, middle, middle.nextUp, middle.nextDown, high.nextUp]
    }
    var random = SeededGenerator(seed: 8)
    for _ in 0..<2000 {
      probes.append(Float.random(in: 0...(2 * last), using: &random))
      let value = Float(bitPattern: UInt32.random(in: 0..<0x7F80_0000, using: &random))
      probes.append(value)
    }
    return probes
  }

  @Test(arguments: types) func encodingIsNearestHalfToEven(type: ElementType) throws {
    let format = try Self.format(type)
    let ladder = Self.ladder(format)
    let signBit = UInt8(1 << (format.exponentBits + format.mantissaBits))
    for probe in Self.probes(ladder) {
      let expected = Self.nearest(probe, ladder)
      for value in [probe, -probe] {
        let sign: UInt8 = value.sign == .minus ? signBit : 0
        let saturated = format.encode(value)
        let code = expected ?? UInt8(ladder.count - 1)
        // Where the code of negative zero is NaN, zero has no sign.
        #expect(saturated == (code == 0 && format.isUnsignedZero ? 0 : code | sign), "\(value) of \(type)")
        let strict = format.decode(format.encode(value, saturating: false))
        if expected != nil {
          #expect(strict == format.decode(saturated), "\(value) of \(type)")
        } else if format.hasInfinity {
          #expect(strict == (value < 0 ? -.infinity : .infinity), "\(value) of \(type)")
        } else if type.bitWidth == 8 && format.exponentBits + format.mantissaBits == 7 {
          #expect(strict.isNaN, "\(value) of \(type)")
        } else {
          #expect(strict.magnitude == format.largest, "\(value) of \(type) has neither infinity nor NaN")
        }
      }
    }
  }

  @Test(arguments: types) func infinitiesAndNaN(type: ElementType) throws {
    let format = try Self.format(type)
    #expect(format.decode(format.encode(.infinity)) == format.largest)
    #expect(format.decode(format.encode(-.infinity)) == -format.largest)
    let hasNaN = type.bitWidth == 8 && format.exponentBits + format.mantissaBits == 7
    #expect(format.decode(format.encode(.nan)).isNaN == hasNaN)
    if format.hasInfinity { #expect(format.decode(format.encode(.infinity, saturating: false)) == .infinity) }
  }

  @Test func powersOfTwo() throws {
    let format = try Self.format(.float8E8M0)
    for code in UInt8(0)...254 {
      let value = format.decode(code)
      #expect(value == Float(sign: .plus, exponent: Int(code) - 127, significand: 1))
      #expect(format.encode(value) == code)
      #expect(format.encode(value.nextUp) == code)
      if code > 0 { #expect(format.encode(value.nextDown) == code) }
      guard code < 254 else { continue }
      #expect(format.encode((1.5 * value).nextDown) == code)
      #expect(format.encode(1.5 * value) == code + 1)
    }
    #expect(format.decode(255).isNaN)
    #expect(format.encode(.nan) == 255)
    #expect(format.encode(0) == 0)
    #expect(format.encode(-3) == 0)
    #expect(format.encode(.greatestFiniteMagnitude) == 254)
    #expect(format.encode(.infinity) == 254)
  }
}
