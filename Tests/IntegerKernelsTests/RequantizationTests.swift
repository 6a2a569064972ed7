import CKernels
import IntegerKernels
import TestSupport
import Testing

@Suite struct RequantizationTests {
  @Test func productsRoundHalfToEven() {
    var random = SeededGenerator(seed: 1)
    let edges: [Int32] = [
      0, 1, -1, 2, -2, 3, -3, .max, .min, .max - 1, .min + 1, 1 << 24, -(1 << 24), 255 * 128, -255 * 128,
    ]
    for shift in 0...80 {
      let mantissas: [Int32] = [1 << 30, 0x7FFF_FF80, 1 << 30 | 1 << 7, 3 << 29]
      for m0 in mantissas {
        let m = IntegerMultiplier(m0: m0, shift: Int32(shift))
        let others = (0..<200).map { _ in Int32.random(in: Int32.min...Int32.max, using: &random) }
        for accumulator in edges + others {
          #expect(
            Int128(ck_int_multiply(accumulator, m)) == exact(Int(accumulator), m),
            "\(accumulator) · \(m0) · 2^-\(shift)")
        }
      }
    }
  }

  @Test func tiesGoToTheEvenNeighbour() {
    let half = IntegerMultiplier(m0: 1 << 30, shift: 31)
    let expected: [Int32: Int64] = [1: 0, 3: 2, 5: 2, 7: 4, -1: 0, -3: -2, -5: -2, -7: -4]
    for (accumulator, result) in expected { #expect(ck_int_multiply(accumulator, half) == result) }
  }

  @Test func everyInstructionSetRequantizesAlike() {
    var random = SeededGenerator(seed: 2)
    for trial in 0..<2000 {
      let rows = random.int(1...5)
      let channels = random.int(1...40)
      let perChannel = random.oneIn(2)
      let accumulators = (0..<rows * channels).map { _ -> Int32 in
        if random.oneIn(10) { return random.oneIn(2) ? .min : .max }
        return Int32.random(in: Int32.min...Int32.max, using: &random) >> Int32(random.int(0...24))
      }
      let multipliers = (0..<channels).map { _ in random.multiplier(signed: true) }
      let (type, output): (ck_int_type, IntegerOutput) =
        switch random.int(0...3) {
        case 0: (CK_INT_U8, random.output())
        case 1: (CK_INT_U16, IntegerOutput(zero: 3, lo: 0, hi: 65535))
        case 2: (CK_INT_S16, IntegerOutput(zero: -7, lo: -32768, hi: 32767))
        default: (CK_INT_S32, IntegerOutput(zero: 0, lo: .min, hi: .max))
        }
      for isa in instructionSets {
        var y = [UInt8](repeating: 0xAA, count: rows * channels * 4 + 16)
        ck_int_requantize(
          accumulators, Int64(rows), Int64(channels), multipliers, perChannel ? 1 : 0, output, type, &y, isa)
        var failures = 0
        y.withUnsafeBytes { bytes in
          for i in accumulators.indices {
            let m = multipliers[perChannel ? i % channels : 0]
            let expected = clamp(exact(Int(accumulators[i]), m), output)
            let got: Int =
              switch type {
              case CK_INT_U8: Int(bytes[i])
              case CK_INT_U16: Int(bytes.load(fromByteOffset: 2 * i, as: UInt16.self))
              case CK_INT_S16: Int(bytes.load(fromByteOffset: 2 * i, as: Int16.self))
              default: Int(bytes.load(fromByteOffset: 4 * i, as: Int32.self))
              }
            if got != expected { failures += 1 }
          }
          let width = type == CK_INT_U8 ? 1 : type == CK_INT_S32 ? 4 : 2
          failures += bytes[(accumulators.count * width)...].count { $0 != 0xAA }
        }
        #expect(failures == 0, "trial \(trial), instruction set \(isa)")
      }
    }
  }

  @Test func aResidualIsAddedBeforeTheOneRounding() {
    var random = SeededGenerator(seed: 3)
    for trial in 0..<3000 {
      let rows = random.int(1...3)
      let channels = random.int(1...20)
      let accumulators = (0..<rows * channels).map { _ -> Int32 in
        if random.oneIn(10) { return random.oneIn(2) ? .min : .max }
        return Int32(random.int(-2_000_000...2_000_000))
      }
      let multipliers = (0..<channels).map { _ in random.multiplier() }
      let residual = random.bytes(rows * channels)
      let mr = random.multiplier()
      let output = random.output()
      let zero = Int32(random.int(0...255))
      for isa in instructionSets {
        var y = [UInt8](repeating: 0, count: rows * channels)
        ck_int_requantize_add(
          accumulators, Int64(rows), Int64(channels), multipliers, 1, residual, zero, mr, output, &y, isa)
        let expected = accumulators.indices.map { i -> UInt8 in
          let m = multipliers[i % channels]
          // Shifts beyond 62 give 0; a common shift of at most 62 keeps both terms below 2^124.
          let a = term(Int(accumulators[i]), m)
          let b = term(Int(residual[i]) - Int(zero), mr)
          return UInt8(clamp(roundHalfToEven(a + b, 62), output))
        }
        #expect(y == expected, "trial \(trial), instruction set \(isa)")
      }
    }
  }

  @Test func float32RuleRoundsTheProductFirst() {
    // 16777217 is no binary32: the float32 rule sees 16777216.
    let output = IntegerOutput(zero: 0, lo: .min, hi: .max)
    let one = IntegerMultiplier(m0: 1 << 30, shift: 30)
    var y = [Int32](repeating: 0, count: 1)
    ck_int_requantize_float32([16_777_217], 1, 1, [1], 0, output, CK_INT_S32, &y)
    #expect(y == [16_777_216])
    #expect(ck_int_count_ties([16_777_217], 1, 1, [one], [1], 0, output) == 1)
    #expect(ck_int_count_ties([16_777_216], 1, 1, [one], [1], 0, output) == 0)
  }

  @Test func tablesHoldTheRescaledBytes() {
    var random = SeededGenerator(seed: 4)
    for _ in 0..<200 {
      let m = random.multiplier()
      let output = random.output()
      let zero = Int32(random.int(0...255))
      let table = rescaleTable(inputZero: zero, by: m, output: output)
      for i in 0..<256 { #expect(Int(table[i]) == clamp(exact(i - Int(zero), m), output)) }
    }
  }
}
