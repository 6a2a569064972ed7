import CKernels
import TestSupport
import Testing

/// The definitions for 16-bit codes, interpolation and windows against plain arithmetic on wide integers.
@Suite struct SixteenBitKernelTests {
  @Test func splittingIsExactAndTransposes() {
    var random = SeededGenerator(seed: 1)
    for signed in [Int32(0), 1] {
      for (batch, rows, columns) in [(1, 1, 70), (2, 3, 5), (1, 130, 67), (3, 1, 1)] {
        let count = batch * rows * columns
        let x = (0..<count).map { _ in UInt16.random(in: .min ... .max, using: &random) }
        var high = [UInt8](repeating: 0, count: count)
        var low = high
        ck_int_split16(x, Int64(batch), Int64(rows), Int64(columns), signed, &high, &low)
        for b in 0..<batch {
          for r in 0..<rows {
            for c in 0..<columns {
              let code = x[(b * rows + r) * columns + c]
              let raised = signed == 1 ? Int(Int16(bitPattern: code)) + 32768 : Int(code)
              let at = (b * columns + c) * rows + r
              #expect(Int(high[at]) * 256 + Int(low[at]) == raised)
            }
          }
        }
      }
    }
  }

  @Test func partsAreRoundedOnceTogether() {
    var random = SeededGenerator(seed: 2)
    for _ in 0..<600 {
      let parts = random.int(1...4)
      let (images, plane, channels) = (random.int(1...2), random.int(1...4), random.int(1...5))
      let rows = images * plane
      let values = (0..<4).map { _ in
        (0..<rows * channels).map { _ in
          random.oneIn(4) ? [Int32.min, .max, 0][random.int(0...2)] : Int32.random(in: .min ... .max, using: &random)
        }
      }
      let shifts = (0..<4).map { _ in Int32([0, 8, 16][random.int(0...2)]) }
      let bias = (0..<channels).map { _ in Int64.random(in: -(1 << 61)...1 << 61, using: &random) >> random.int(0...61)
      }
      let m = (0..<channels).map { _ in
        ck_int_multiplier(m0: Int32.random(in: 1 << 30 ... .max, using: &random), shift: Int32(random.int(0...94)))
      }
      let type = [CK_INT_U16, CK_INT_S16, CK_INT_S32][random.int(0...2)]
      let (lo, hi): (Int32, Int32) =
        type == CK_INT_U16 ? (0, 65535) : type == CK_INT_S16 ? (-32768, 32767) : (.min, .max)
      let zero = type == CK_INT_S32 ? 0 : Int32.random(in: lo...hi, using: &random)
      let output = ck_int_output(zero: zero, lo: lo, hi: hi)
      var y = [Int32](repeating: 0, count: rows * channels)
      values[0].withUnsafeBufferPointer { a in
        values[1].withUnsafeBufferPointer { b in
          values[2].withUnsafeBufferPointer { c in
            values[3].withUnsafeBufferPointer { d in
              bias.withUnsafeBufferPointer { bias in
                var sums = ck_int_parts()
                sums.count = Int32(parts)
                sums.parts = (a.baseAddress, b.baseAddress, c.baseAddress, d.baseAddress)
                sums.shifts = (shifts[0], shifts[1], shifts[2], shifts[3])
                sums.bias = bias.baseAddress
                sums.rows = Int64(rows)
                sums.channels = Int64(channels)
                y.withUnsafeMutableBytes {
                  ck_int_finish_parts(&sums, m, 1, output, Int64(plane), type, $0.baseAddress)
                }
              }
            }
          }
        }
      }
      y.withUnsafeBytes { bytes in
        for r in 0..<rows {
          for n in 0..<channels {
            var sum = Int128(bias[n])
            for p in 0..<parts { sum += Int128(values[p][r * channels + n]) << Int128(shifts[p]) }
            let exact = roundHalfToEven(sum * Int128(m[n].m0), Int(m[n].shift)) + Int128(zero)
            let expected = Int32(min(max(exact, Int128(lo)), Int128(hi)))
            let at = (r / plane * channels + n) * plane + r % plane
            let got: Int32 =
              type == CK_INT_S32
              ? bytes.load(fromByteOffset: at * 4, as: Int32.self)
              : type == CK_INT_U16
                ? Int32(bytes.load(fromByteOffset: at * 2, as: UInt16.self))
                : Int32(bytes.load(fromByteOffset: at * 2, as: Int16.self))
            #expect(got == expected)
          }
        }
      }
    }
  }

  @Test func importingRoundsOnce() {
    var random = SeededGenerator(seed: 3)
    for _ in 0..<400 {
      let signed = random.oneIn(2)
      let x = [0, 1, 32767, 32768, 65535, UInt16.random(in: .min ... .max, using: &random)]
      let zero = Int32(signed ? random.int(-32768...32767) : random.int(0...65535))
      let m = ck_int_multiplier(
        m0: Int32.random(in: 1 << 30 ... .max, using: &random), shift: Int32(random.int(10...62)))
      var y = [Int32](repeating: 0, count: x.count)
      ck_wide_import16(x, Int64(x.count), signed ? 1 : 0, zero, m, &y)
      for (code, got) in zip(x, y) {
        let q = Int128(signed ? Int32(Int16(bitPattern: code)) : Int32(code)) - Int128(zero)
        let exact = roundHalfToEven(q * Int128(m.m0), Int(m.shift))
        #expect(Int128(got) == min(max(exact, Int128(Int32.min)), Int128(Int32.max)))
      }
    }
  }

  @Test func interpolationRoundsTheExactSumOnce() {
    var random = SeededGenerator(seed: 4)
    for _ in 0..<200 {
      let input = (0..<3).map { _ in random.int(1...4) }
      let output = (0..<3).map { _ in random.int(1...4) }
      let denominators = (0..<3).map { _ in Int32(random.int(1...1200)) }
      let (outer, inner) = (random.int(1...2), random.int(1...3))
      func indices(_ d: Int) -> [Int32] { (0..<output[d]).map { _ in Int32(random.int(0...input[d] - 1)) } }
      let low = (0..<3).map(indices)
      let high = (0..<3).map(indices)
      let weight = (0..<3).map { d in (0..<output[d]).map { _ in Int32(random.int(0...Int(denominators[d]))) } }
      let x = (0..<outer * input.reduce(1, *) * inner).map { _ in
        random.oneIn(3) ? (random.oneIn(2) ? Int32.min : .max) : Int32.random(in: .min ... .max, using: &random)
      }
      var y = [Int32](repeating: 0, count: outer * output.reduce(1, *) * inner)
      let tables = [low, high, weight].map { $0.map { list in UnsafeMutablePointer<Int32>.copy(of: list) } }
      defer { tables.joined().forEach { $0.deallocate() } }
      var r = ck_wide_resampling()
      func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
      func pointers(
        _ k: Int
      ) -> (UnsafePointer<Int32>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) {
        (UnsafePointer(tables[k][0]), UnsafePointer(tables[k][1]), UnsafePointer(tables[k][2]))
      }
      r.outer = Int64(outer)
      r.inner = Int64(inner)
      r.input = triple(input)
      r.output = triple(output)
      r.low = pointers(0)
      r.high = pointers(1)
      r.weight = pointers(2)
      r.denominator = (denominators[0], denominators[1], denominators[2])
      ck_wide_resize(&r, x, &y)
      let unit = denominators.reduce(Int128(1)) { $0 * Int128($1) }
      var at = 0
      for o in 0..<outer {
        for d in 0..<output[0] {
          for h in 0..<output[1] {
            for w in 0..<output[2] {
              for i in 0..<inner {
                var sum = Int128(0)
                for corner in 0..<8 {
                  let place = [d, h, w]
                  var product = Int128(1)
                  var index = o
                  for a in 0..<3 {
                    let isHigh = corner >> a & 1 == 1
                    index = index * input[a] + Int((isHigh ? high : low)[a][place[a]])
                    let part = Int128(weight[a][place[a]])
                    product *= isHigh ? part : Int128(denominators[a]) - part
                  }
                  sum += product * Int128(x[index * inner + i])
                }
                var q = sum / unit
                if sum < 0, q * unit != sum { q -= 1 }
                let rest = sum - q * unit
                if 2 * rest > unit || (2 * rest == unit && q & 1 == 1) { q += 1 }
                #expect(Int128(y[at]) == q)
                at += 1
              }
            }
          }
        }
      }
    }
  }
}

extension UnsafeMutablePointer<Int32> {
  fileprivate static func copy(of list: [Int32]) -> Self {
    let memory = Self.allocate(capacity: max(list.count, 1))
    memory.update(from: list, count: list.count)
    return memory
  }
}
