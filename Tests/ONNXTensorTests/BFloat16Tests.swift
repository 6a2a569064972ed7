import ONNXTensor
import Testing

@Suite struct BFloat16Tests {
  /// The upper halves of all patterns, each with the lower halves around which rounding decides.
  @Test func roundsHalfToEven() {
    let lowerHalves: [UInt32] = [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF]
    var wrong: [UInt32] = []
    for upper in UInt32(0)...0xFFFF {
      for lower in lowerHalves {
        let value = Float(bitPattern: upper << 16 | lower)
        let rounded = BFloat16(value)
        if !isNearest(rounded, to: value) { wrong.append(value.bitPattern) }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count) patterns, the first is \(wrong.first.map { String($0, radix: 16) } ?? "")")
  }

  private func isNearest(_ rounded: BFloat16, to value: Float) -> Bool {
    if value.isNaN { return rounded.float.isNaN }
    if value.isInfinite { return rounded.float == value }
    guard rounded.float.sign == value.sign else { return false }
    // The neighbours towards zero and away from it; past the largest finite value stands 2^128.
    let below = UInt16(value.bitPattern >> 16)
    let choices = [below, below + 1].map { pattern -> (pattern: UInt16, distance: Double) in
      let neighbour = Float(bitPattern: UInt32(pattern) << 16)
      let real = neighbour.isInfinite ? 0x1p128 : Double(neighbour.magnitude)
      return (pattern, (real - Double(value.magnitude)).magnitude)
    }
    let (low, high) = (choices[0], choices[1])
    let expected =
      low.distance == high.distance
      ? (low.pattern % 2 == 0 ? low : high) : (low.distance < high.distance ? low : high)
    return rounded.bitPattern == expected.pattern
  }

  @Test func everyPatternRoundTrips() {
    for pattern in UInt16.min...UInt16.max {
      let value = BFloat16(bitPattern: pattern)
      if value.float.isNaN {
        #expect(BFloat16(value.float).float.isNaN)
      } else {
        #expect(BFloat16(value.float) == value)
      }
    }
  }

  @Test func signallingNaNStaysNaN() {
    // Cutting off the lower half alone would leave the pattern of infinity.
    #expect(BFloat16(Float(bitPattern: 0x7F80_0001)).float.isNaN)
    #expect(BFloat16(Float(bitPattern: 0xFF80_0001)).float.isNaN)
  }
}
