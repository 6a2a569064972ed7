import CKernels
import Foundation
import TestSupport
import Testing

/// Fixed-point kernels against the reals in double, with the bounds of docs/numerics.md.
@Suite struct FixedPointTests {
  private func reals(_ codes: [Int32], _ fraction: Int32) -> [Double] {
    codes.map { Double($0) * Double(sign: .plus, exponent: -Int(fraction), significand: 1) }
  }

  private func table() -> [UInt32] {
    var table = [UInt32](repeating: 0, count: 1025)
    ck_wide_exp2_table(&table)
    return table
  }

  @Test func powersOfTwoAreRoundedToTheirLastBit() {
    for (j, entry) in table().enumerated() {
      #expect(abs(Double(entry) - exp2(31 - Double(j) / 1024)) <= 0.500001, "\(j)")
    }
  }

  @Test func scalingRoundsOnceHalfToEven() {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<2000 {
      let m = random.multiplier(signed: true)
      let x = [Int32.min, Int32.max, 0, 1, -1] + (0..<20).map { _ in Int32.random(in: .min ... .max, using: &random) }
      var y = x
      ck_wide_scale(x, Int64(x.count), m, &y)
      for (a, b) in zip(x, y) {
        let exact = m.shift > 62 ? 0 : roundHalfToEven(Int128(a) * Int128(m.m0), Int(m.shift))
        #expect(Int128(b) == min(max(exact, Int128(Int32.min)), Int128(Int32.max)))
      }
    }
  }

  @Test func sumsAndProductsRoundOnceAndSaturate() {
    var random = SeededGenerator(seed: 2)
    let ends: [Int32] = [.min, .max, 0, -1, 1 << 30]
    for _ in 0..<3000 {
      let f = (0..<3).map { _ in Int32(random.int(0...30)) }
      let a = random.oneIn(3) ? ends[random.int(0...4)] : Int32.random(in: .min ... .max, using: &random)
      let b = random.oneIn(3) ? ends[random.int(0...4)] : Int32.random(in: .min ... .max, using: &random)
      var loop = ck_int_broadcast()
      var y: Int32 = 0
      func saturated(_ v: Int128) -> Int128 { min(max(v, Int128(Int32.min)), Int128(Int32.max)) }
      let common = Int(f.max()!)
      for (subtract, sign) in [(Int32(0), Int128(1)), (1, -1)] {
        ck_wide_add(&loop, [a], f[0], [b], f[1], subtract, f[2], &y)
        let exact = (Int128(a) << Int128(common - Int(f[0]))) + sign * (Int128(b) << Int128(common - Int(f[1])))
        #expect(Int128(y) == saturated(roundHalfToEven(exact, common - Int(f[2]))), "\(a) \(b) \(f)")
      }
      ck_wide_multiply(&loop, [a], f[0], [b], f[1], f[2], &y)
      let shift = Int(f[0] + f[1] - f[2])
      let product = Int128(a) * Int128(b)
      let exact = shift >= 0 ? roundHalfToEven(product, shift) : product << Int128(-shift)
      #expect(Int128(y) == saturated(exact), "\(a) \(b) \(f)")
    }
  }

  /// Every difference from 0 to 26 in steps of 2^-14, and random rows.
  @Test func softmaxStaysWithinItsBound() {
    let table = table()
    var worst = 0.0
    for step in 0..<(26 << 14) {
      let x = [Int32(0), -Int32(step)]
      var y = x
      ck_wide_softmax(x, 1, 2, 14, table, &y)
      let e = exp(-Double(step) / 16384)
      worst = max(worst, abs(Double(y[1]) * 0x1p-30 - e / (1 + e)), abs(Double(y[0]) * 0x1p-30 - 1 / (1 + e)))
    }
    #expect(worst <= 0x1p-23, "\(worst)")
    var random = SeededGenerator(seed: 3)
    for _ in 0..<300 {
      let count = random.int(1...200)
      let fraction = Int32(random.int(0...30))
      let reach = random.oneIn(4) ? Int32.max : Int32(min(Double(Int32.max), 12 * exp2(Double(fraction))))
      let x = (0..<count).map { _ in Int32.random(in: -reach...reach, using: &random) }
      var y = x
      ck_wide_softmax(x, 1, Int64(count), fraction, table, &y)
      let r = reals(x, fraction)
      let top = r.max()!
      let sum = r.reduce(0) { $0 + exp($1 - top) }
      for (a, b) in zip(r, reals(y, 30)) { #expect(abs(exp(a - top) / sum - b) <= 0x1p-21, "\(count) \(fraction)") }
      #expect(abs(reals(y, 30).reduce(0, +) - 1) <= Double(count) * 0x1p-30)
    }
  }

  @Test func normalizationStaysWithinItsBound() {
    var random = SeededGenerator(seed: 4)
    for trial in 0..<400 {
      let count = random.oneIn(10) ? 1 : random.int(2...400)
      let fx = Int32(random.int(0...30))
      let reach = Int32.random(in: 1...(random.oneIn(2) ? .max : 5000), using: &random)
      let x = (0..<count).map { _ in Int32.random(in: -reach...reach, using: &random) }
      let gamma = (0..<count).map { _ in Int32.random(in: -(1 << 25)...(1 << 25), using: &random) }
      let beta = (0..<count).map { _ in Int32.random(in: -(1 << 24)...(1 << 24), using: &random) }
      let epsilon = ck_int_multiplier(m0: 0x5327_C500, shift: 67 - 20)
      let centred = trial % 3 != 0
      var y = x
      gamma.withUnsafeBufferPointer { g in
        beta.withUnsafeBufferPointer { b in
          var n = ck_wide_normalization(
            count: Int64(count), fx: fx, fy: 20, centred: centred ? 1 : 0, epsilon: epsilon, gamma: g.baseAddress,
            beta: b.baseAddress, fg: 24, fb: 22)
          ck_wide_normalize(&n, x, 1, &y)
        }
      }
      let r = reals(x, fx)
      let mean = centred ? r.reduce(0, +) / Double(count) : 0
      let variance = r.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
      let root = (variance + Double(epsilon.m0) * exp2(-Double(epsilon.shift))).squareRoot()
      // The unit of the squared deviations is 2^-(2 fx); an epsilon below it counts as 0.
      let unit = exp2(-2 * Double(fx)) / Double(count)
      for i in 0..<count where variance > 0x1p20 * unit {
        let expected = (r[i] - mean) / root * Double(gamma[i]) * 0x1p-24 + Double(beta[i]) * 0x1p-22
        #expect(abs(Double(y[i]) * 0x1p-20 - expected) <= 0x1p-20 + 0x1p-19 * abs(expected), "\(trial) \(i)")
      }
    }
  }

  @Test func meansAreExact() {
    var random = SeededGenerator(seed: 5)
    for _ in 0..<200 {
      let (outer, count, inner) = (random.int(1...3), random.int(1...9), random.int(1...5))
      let x = (0..<outer * count * inner).map { _ in Int32.random(in: .min ... .max, using: &random) }
      var y = [Int32](repeating: 0, count: outer * inner)
      ck_wide_mean(x, Int64(outer), Int64(count), Int64(inner), &y)
      for o in 0..<outer {
        for i in 0..<inner {
          let sum = (0..<count).reduce(Int128(0)) { $0 + Int128(x[(o * count + $1) * inner + i]) }
          let twice = 2 * sum - 2 * Int128(count) * Int128(y[o * inner + i])
          #expect(abs(twice) < count || (abs(twice) == count && y[o * inner + i] & 1 == 0))
        }
      }
    }
  }

  /// Inside the core on the line between two nodes; outside on the straight lines.
  @Test func functionsFollowTheirLines() {
    let nodes = (0...(1 << 14)).map { j in
      let x = Double(j) / 256 - 32
      return Int32((x / (1 + exp(-x)) * 0x1p20).rounded(.toNearestOrEven))
    }
    nodes.withUnsafeBufferPointer { nodes in
      var function = ck_wide_function(
        fx: 20, fy: 20, core: 5, nodes: nodes.baseAddress, left_slope: 0, left_intercept: 0, right_slope: 1 << 30,
        right_intercept: 0)
      let x = stride(from: Int32(-100 << 20), through: 100 << 20, by: 1013).map { $0 }
      var y = x
      ck_wide_apply(&function, x, Int64(x.count), &y)
      for (a, b) in zip(x, y) {
        let v = Double(a) * 0x1p-20
        #expect(abs(v / (1 + exp(-v)) - Double(b) * 0x1p-20) <= 0x1p-19 + 0x1p-20, "\(v)")
      }
    }
  }
}
