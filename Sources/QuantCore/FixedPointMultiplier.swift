/// M = m0 · 2^-shift, the real multiplier of a requantization as two integers.
///
/// M is the exact quotient of float32 scales rounded once, half to even, to 24 significant bits; `m0` is that mantissa
/// shifted left by 7, so 2^30 ≤ m0 < 2^31. Where M is zero, or so small that no 32-bit accumulator times M reaches one
/// half (shift beyond 62), m0 is 0. A quotient of 2^31 or more is held at the largest multiplier, 0x7FFF_FF80 · 2^0: any
/// accumulator but 0 then saturates an output of at most 16 bits, as it would with the exact quotient.
package struct FixedPointMultiplier: Sendable, Hashable {
  package let m0: Int32
  package let shift: Int32

  package static let zero = FixedPointMultiplier(m0: 0, shift: 0)
  package static let one = FixedPointMultiplier(m0: 1 << 30, shift: 30)

  package init(m0: Int32, shift: Int32) {
    self.m0 = m0
    self.shift = shift
  }

  /// M = left · right / (divisor · count).
  ///
  /// nil where a scale is negative, not finite, or the divisor is zero: such scales are not quantization parameters.
  package init?(_ left: Float, times right: Float = 1, over divisor: Float, count: Int = 1) {
    guard left.isFinite, right.isFinite, divisor.isFinite, left >= 0, right >= 0, divisor > 0, count > 0 else {
      return nil
    }
    guard left > 0, right > 0 else { self = .zero; return }
    let (a, aExponent) = Self.integer(left)
    let (b, bExponent) = Self.integer(right)
    let (c, cExponent) = Self.integer(divisor)
    // 24 bits times 24 bits, and 24 bits times a count below 2^40, fit 64.
    guard count < 1 << 40 else { return nil }
    let numerator = a * b
    let denominator = c * UInt64(count)
    let up = numerator.leadingZeroBitCount
    let down = denominator.leadingZeroBitCount
    // Both have their top bit set, so the quotient of numerator · 2^63 lies between 2^62 and 2^64.
    let n = numerator << UInt64(up)
    let (quotient, remainder) = (denominator << UInt64(down)).dividingFullWidth((n >> 1, n << 63))
    let drop = UInt64(40 - quotient.leadingZeroBitCount)
    var mantissa = quotient >> drop
    let rest = quotient & ((1 << drop) - 1)
    let half: UInt64 = 1 << (drop - 1)
    if rest > half || (rest == half && (remainder != 0 || mantissa & 1 == 1)) { mantissa += 1 }
    // A carry to 2^24 stays exact: its low bit is 0.
    var exponent = Int(drop) - 63 + aExponent + bExponent - up - cExponent + down
    if mantissa == 1 << 24 {
      mantissa >>= 1
      exponent += 1
    }
    let shift = 7 - exponent
    if shift > 62 {
      self = .zero
    } else if shift < 0 {
      self.init(m0: 0x7FFF_FF80, shift: 0)
    } else {
      self.init(m0: Int32(mantissa << 7), shift: Int32(shift))
    }
  }

  /// A positive finite float as integer · 2^exponent.
  private static func integer(_ value: Float) -> (UInt64, Int) {
    let fraction = UInt64(value.significandBitPattern)
    return value.isNormal
      ? (fraction | 1 << 23, Int(value.exponentBitPattern) - 150) : (fraction, -149)
  }

  /// M as a float: exact, for it has 24 significant bits.
  package var value: Float { Float(sign: .plus, exponent: -Int(shift), significand: Float(m0)) }

  /// round half to even of `accumulator` · M.
  package func apply(to accumulator: Int32) -> Int64 {
    guard shift > 0, shift <= 62 else { return shift == 0 ? Int64(accumulator) * Int64(m0) : 0 }
    let product = Int64(accumulator) * Int64(m0)
    let whole = product >> Int64(shift)
    let rest = UInt64(bitPattern: product) & ((1 << UInt64(shift)) - 1)
    let half: UInt64 = 1 << (UInt64(shift) - 1)
    return whole + (rest > half || (rest == half && whole & 1 == 1) ? 1 : 0)
  }
}
