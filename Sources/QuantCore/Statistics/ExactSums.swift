/// One sum per channel, accumulated without rounding: any order and grouping of additions gives the same bits.
///
/// Each sum is a 384-bit two's complement integer that counts units of 2^-149, the smallest float32. Sums of float32
/// values, also when rounded to float64, are multiples of that unit; other addends are rounded to it, half to even.
package struct ExactSums: Sendable, Equatable {
  package static let limbCount = 6
  /// An addend below this leaves room for 2^60 others.
  private static let largestAddend = Double(sign: .plus, exponent: 173, significand: 1)

  /// `limbCount` words per channel, least significant first.
  package private(set) var limbs: [UInt64]
  /// Additions per channel that were NaN, infinite or too large; such a channel has no sum.
  package private(set) var invalid: [UInt64]

  package var count: Int { invalid.count }

  package init(count: Int) {
    limbs = [UInt64](repeating: 0, count: count * Self.limbCount)
    invalid = [UInt64](repeating: 0, count: count)
  }

  /// From stored words; nil when the counts do not fit together.
  package init?(limbs: [UInt64], invalid: [UInt64]) {
    guard limbs.count == invalid.count * Self.limbCount else { return nil }
    self.limbs = limbs
    self.invalid = invalid
  }

  package mutating func add(_ value: Double, to channel: Int) {
    guard value.magnitude < Self.largestAddend else {
      invalid[channel] &+= 1
      return
    }
    if value == 0 { return }
    // The addend is `significand` * 2^(shift) units.
    var significand = value.significandBitPattern
    var shift = 149 - 1074
    if value.exponentBitPattern != 0 {
      significand |= 1 << 52
      shift += Int(value.exponentBitPattern) - 1
    }
    if shift < 0 {
      guard shift > -55 else { return }
      let dropped = significand & ((1 << UInt64(-shift)) - 1)
      let half: UInt64 = 1 << UInt64(-shift - 1)
      significand >>= UInt64(-shift)
      if dropped > half || (dropped == half && significand & 1 == 1) { significand += 1 }
      shift = 0
    }
    let word = shift / 64
    let bits = UInt64(shift % 64)
    let low = significand << bits
    let high = bits == 0 ? 0 : significand >> (64 - bits)
    let base = channel * Self.limbCount
    if value < 0 {
      var borrow = false
      for index in word..<Self.limbCount {
        let part = index == word ? low : index == word + 1 ? high : 0
        let (first, firstBorrow) = limbs[base + index].subtractingReportingOverflow(part)
        let (second, secondBorrow) = first.subtractingReportingOverflow(borrow ? 1 : 0)
        limbs[base + index] = second
        borrow = firstBorrow || secondBorrow
        if !borrow && index > word { break }
      }
    } else {
      var carry = false
      for index in word..<Self.limbCount {
        let part = index == word ? low : index == word + 1 ? high : 0
        let (first, firstCarry) = limbs[base + index].addingReportingOverflow(part)
        let (second, secondCarry) = first.addingReportingOverflow(carry ? 1 : 0)
        limbs[base + index] = second
        carry = firstCarry || secondCarry
        if !carry && index > word { break }
      }
    }
  }

  /// Adds the sums of `other`, which has as many channels.
  package mutating func merge(_ other: ExactSums) {
    precondition(other.count == count, "sums of \(other.count) and \(count) channels")
    for channel in 0..<count {
      invalid[channel] &+= other.invalid[channel]
      var carry = false
      for index in channel * Self.limbCount..<(channel + 1) * Self.limbCount {
        let (first, firstCarry) = limbs[index].addingReportingOverflow(other.limbs[index])
        let (second, secondCarry) = first.addingReportingOverflow(carry ? 1 : 0)
        limbs[index] = second
        carry = firstCarry || secondCarry
      }
    }
  }

  /// The sum of a channel, rounded once to float64; nil when an addend was not finite.
  package func value(_ channel: Int) -> Double? {
    guard invalid[channel] == 0 else { return nil }
    var words = Array(limbs[channel * Self.limbCount..<(channel + 1) * Self.limbCount])
    let isNegative = words[Self.limbCount - 1] >> 63 == 1
    if isNegative {
      var carry = true
      for index in words.indices {
        let (sum, overflow) = (~words[index]).addingReportingOverflow(carry ? 1 : 0)
        words[index] = sum
        carry = overflow
      }
    }
    guard let top = words.lastIndex(where: { $0 != 0 }) else { return 0 }
    // The 64 leading bits, the lowest of them sticky: float64 then rounds as if it saw all of them.
    let shift = UInt64(words[top].leadingZeroBitCount)
    var leading = words[top] << shift
    var rest = top > 0 && words[0..<(top - 1)].contains { $0 != 0 }
    if top > 0 {
      if shift > 0 {
        leading |= words[top - 1] >> (64 - shift)
        rest = rest || words[top - 1] << shift != 0
      } else {
        rest = rest || words[top - 1] != 0
      }
    }
    if rest { leading |= 1 }
    let magnitude = Double(sign: .plus, exponent: top * 64 - Int(shift) - 149, significand: Double(leading))
    return isNegative ? -magnitude : magnitude
  }
}
