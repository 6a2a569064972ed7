import CKernels
import IntegerKernels
import TestSupport

extension SeededGenerator {
  mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
  mutating func oneIn(_ n: Int) -> Bool { int(1...n) == 1 }
  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }

  /// A multiplier from 2^-40 to 2^4, now and then a power of two (ties) or beyond the shifts that matter.
  mutating func multiplier(signed: Bool = false) -> IntegerMultiplier {
    var m0: Int32 = 1 << 30
    m0 += Int32(int(0...0x7F_FFFF)) << 7
    if oneIn(5) { m0 = 1 << 30 }
    if oneIn(9) { m0 = 0x7FFF_FF80 }
    if signed, oneIn(3) { m0 = -m0 }
    let shift = oneIn(20) ? int(0...70) : int(26...52)
    return IntegerMultiplier(m0: m0, shift: Int32(shift))
  }

  mutating func output() -> IntegerOutput {
    let lo = oneIn(3) ? int(0...100) : 0
    let hi = oneIn(3) ? int(100...255) : 255
    return IntegerOutput(zero: Int32(int(0...255)), lo: Int32(lo), hi: Int32(hi))
  }
}

/// The instruction sets that this machine has.
let instructionSets: [ck_isa] = [CK_ISA_PORTABLE, CK_ISA_AVX2, CK_ISA_AVXVNNI, CK_ISA_AVX512].filter {
  ck_isa_available($0) != 0
}

/// Round half to even of value · 2^-shift, by division in 128 bits.
func roundHalfToEven(_ value: Int128, _ shift: Int) -> Int128 {
  if shift > 120 { return 0 }
  let unit = Int128(1) << Int128(shift)
  var quotient = value / unit
  var rest = value % unit
  if rest < 0 {
    rest += unit
    quotient -= 1
  }
  if rest * 2 > unit || (rest * 2 == unit && quotient % 2 != 0) { quotient += 1 }
  return quotient
}

func exact(_ accumulator: Int, _ m: IntegerMultiplier) -> Int128 {
  roundHalfToEven(Int128(accumulator) * Int128(m.m0), Int(m.shift))
}

func clamp(_ value: Int128, _ output: IntegerOutput) -> Int {
  Int(min(max(value + Int128(output.zero), Int128(output.lo)), Int128(output.hi)))
}

/// value · m in units of 2^-62; a shift beyond 62 gives 0.
func term(_ value: Int, _ m: IntegerMultiplier) -> Int128 {
  if m.shift > 62 { return 0 }
  let product = Int128(value) * Int128(m.m0)
  return product << Int128(62 - m.shift)
}
