import QuantCore
import TestSupport
import Testing

@Suite struct ExactSumsTests {
  @Test func cancellationLosesNothing() {
    var sums = ExactSums(count: 1)
    for value in [1e30, 1.0, -1e30, 0x1p-149] { sums.add(value, to: 0) }
    #expect(sums.value(0) == 1)
    sums.add(-1, to: 0)
    #expect(sums.value(0) == 0x1p-149)
  }

  @Test func roundsOnceHalfToEven() {
    var sums = ExactSums(count: 2)
    for value in [0x1p53, 1.0] { sums.add(value, to: 0) }
    #expect(sums.value(0) == 0x1p53)
    sums.add(0x1p-100, to: 0)
    #expect(sums.value(0) == 0x1p53 + 2)
    for value in [-0x1p53, -3.0] { sums.add(value, to: 1) }
    #expect(sums.value(1) == -(0x1p53 + 4))
  }

  @Test func permutationsAndGroupingsGiveTheSameBits() {
    var generator = SeededGenerator(seed: 3)
    let values = (0..<500).map { index in
      Double(generator.normal())
        * Double(sign: .plus, exponent: Int.random(in: -80...120, using: &generator), significand: 1)
    }
    var expected = ExactSums(count: 1)
    for value in values { expected.add(value, to: 0) }
    for _ in 0..<20 {
      var left = ExactSums(count: 1)
      var right = ExactSums(count: 1)
      for (index, value) in values.shuffled(using: &generator).enumerated() {
        if index.isMultiple(of: 3) { left.add(value, to: 0) } else { right.add(value, to: 0) }
      }
      left.merge(right)
      #expect(left == expected)
    }
  }

  @Test func smallIntegersSumAsIntegers() {
    var generator = SeededGenerator(seed: 4)
    var sums = ExactSums(count: 3)
    var expected = [0, 0, 0]
    for _ in 0..<3000 {
      let channel = Int.random(in: 0..<3, using: &generator)
      let value = Int.random(in: -1_000_000_000...1_000_000_000, using: &generator)
      sums.add(Double(value) / 1024, to: channel)
      expected[channel] += value
    }
    for channel in 0..<3 { #expect(sums.value(channel) == Double(expected[channel]) / 1024) }
  }

  @Test func infinitySpoilsItsChannelOnly() {
    var sums = ExactSums(count: 2)
    sums.add(.infinity, to: 0)
    sums.add(2, to: 1)
    #expect(sums.value(0) == nil)
    #expect(sums.value(1) == 2)
  }

  @Test func partsBelowTheUnitRoundToIt() {
    var sums = ExactSums(count: 3)
    sums.add(0x1.8p-149, to: 0)
    sums.add(0x1p-150, to: 1)
    sums.add(0x1p-1000, to: 2)
    #expect(sums.value(0) == 0x1p-148)
    #expect(sums.value(1) == 0)
    #expect(sums.value(2) == 0)
  }
}
