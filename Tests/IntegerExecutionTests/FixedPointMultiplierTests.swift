import QuantCore
import TestSupport
import Testing

@Suite struct FixedPointMultiplierTests {
  /// M is the float32 nearest to the exact quotient: both neighbours are at least as far, ties go to the even one.
  @Test func isTheExactQuotientRoundedOnce() throws {
    var random = SeededGenerator(seed: 5)
    for _ in 0..<200_000 {
      // Exponents that keep the quotient between 2^-30 and 2^30.
      let a = Float(bitPattern: UInt32.random(in: 0x3C00_0000...0x4300_0000, using: &random))
      let b = Float(bitPattern: UInt32.random(in: 0x3C00_0000...0x4300_0000, using: &random))
      let c = Float(bitPattern: UInt32.random(in: 0x3C00_0000...0x4300_0000, using: &random))
      let count = Int.random(in: 1...500, using: &random)
      let m = try #require(FixedPointMultiplier(a, times: b, over: c, count: count))
      // a·b / (c·count) = n·2^e / d with integers n, d.
      let n = UInt64(a.significandBitPattern | 1 << 23) * UInt64(b.significandBitPattern | 1 << 23)
      let d = UInt64(c.significandBitPattern | 1 << 23) * UInt64(count)
      let e = Int(a.exponentBitPattern) + Int(b.exponentBitPattern) - Int(c.exponentBitPattern) - 150
      let mantissa = Int128(m.m0 >> 7)
      #expect(m.m0 & 127 == 0 && mantissa >= 1 << 23 && mantissa < 1 << 24)
      // |n·2^e/d − mantissa·2^(7−shift)| ≤ half a unit: |n·2^s − mantissa·d| · 2 ≤ d, s = e − (7 − shift).
      let s = e - 7 + Int(m.shift)
      let left = s >= 0 ? Int128(n) << Int128(s) : Int128(n)
      let right = (s >= 0 ? mantissa * Int128(d) : (mantissa * Int128(d)) << Int128(-s))
      let unit = s >= 0 ? Int128(d) : Int128(d) << Int128(-s)
      let error = left > right ? left - right : right - left
      #expect(
        error * 2 < unit || (error * 2 == unit && mantissa % 2 == 0) || (mantissa == 1 << 23 && error * 2 <= unit))
    }
  }

  @Test func edges() throws {
    #expect(FixedPointMultiplier(1, over: 1) == .one)
    #expect(FixedPointMultiplier(0, over: 1) == .zero)
    #expect(FixedPointMultiplier(1, over: 0) == nil)
    #expect(FixedPointMultiplier(.nan, over: 1) == nil)
    #expect(FixedPointMultiplier(.infinity, over: 1) == nil)
    #expect(FixedPointMultiplier(-1, over: 1) == nil)
    // The smallest denormal over the largest float, and the other way round.
    #expect(FixedPointMultiplier(.leastNonzeroMagnitude, over: .greatestFiniteMagnitude) == .zero)
    let huge = try #require(FixedPointMultiplier(.greatestFiniteMagnitude, over: .leastNonzeroMagnitude))
    #expect(huge.m0 == 0x7FFF_FF80 && huge.shift == 0)
    // Denormals are numbers like any other.
    let equal = try #require(FixedPointMultiplier(.leastNonzeroMagnitude, over: .leastNonzeroMagnitude))
    #expect(equal == .one)
    #expect(FixedPointMultiplier(1.5, over: 1)?.value == 1.5)
    #expect(FixedPointMultiplier(1, over: 3)?.value == 1 / 3 as Float)
  }

  @Test func appliesWithHalfToEven() {
    let half = FixedPointMultiplier(m0: 1 << 30, shift: 31)
    #expect([1, 3, -1, -3, 5].map { half.apply(to: $0) } == [0, 2, 0, -2, 2])
    #expect(FixedPointMultiplier(m0: 1 << 30, shift: 63).apply(to: .max) == 0)
    #expect(FixedPointMultiplier(m0: 0x7FFF_FF80, shift: 0).apply(to: -1) == -0x7FFF_FF80)
  }
}
