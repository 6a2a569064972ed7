import CKernels
import IntegerKernels
import TestSupport
import Testing

@Suite struct ElementwiseTests {
  @Test func sumsAndProductsEqualTheirFormulasOverAnyBroadcast() throws {
    var random = SeededGenerator(seed: 11)
    for trial in 0..<1500 {
      let shape = (0..<random.int(1...4)).map { _ in random.int(1...9) }
      let aShape = shape.map { random.oneIn(3) ? 1 : $0 }
      let bShape = Array(shape.map { random.oneIn(3) ? 1 : $0 }.dropFirst(random.int(0...1)))
      let full = try #require(BroadcastLoop.shape(aShape, bShape))
      let loop = try #require(BroadcastLoop(aShape, bShape))
      let a = random.bytes(aShape.reduce(1, *) + 64)
      let b = random.bytes(bShape.reduce(1, *) + 64)
      var add = IntegerAddition(
        a_zero: Int32(random.int(0...255)), b_zero: Int32(random.int(0...255)), ma: random.multiplier(),
        mb: random.multiplier(signed: true), out: random.output())
      if random.oneIn(2) {
        add.ma.shift = Int32(random.int(28...33))
        add.mb.shift = Int32(random.int(28...33))
      }
      var product = IntegerProduct(
        a_zero: add.a_zero, b_zero: add.b_zero, m: random.multiplier(), out: random.output())
      var sums: [UInt8] = []
      var products: [UInt8] = []
      for i in 0..<full.reduce(1, *) {
        let p = Int(a[offset(i, full, aShape)]) - Int(add.a_zero)
        let q = Int(b[offset(i, full, bShape)]) - Int(add.b_zero)
        sums.append(UInt8(clamp(roundHalfToEven(term(p, add.ma) + term(q, add.mb), 62), add.out)))
        products.append(UInt8(clamp(product.m.shift > 62 ? 0 : exact(p * q, product.m), product.out)))
      }
      for isa in instructionSets {
        var c = loop.c
        var y = [UInt8](repeating: 0, count: sums.count)
        ck_int_add(&add, &c, a, b, &y, isa)
        #expect(y == sums, "trial \(trial), Add, instruction set \(isa)")
        ck_int_mul(&product, &c, a, b, &y, isa)
        #expect(y == products, "trial \(trial), Mul, instruction set \(isa)")
      }
    }
  }

  private func offset(_ index: Int, _ full: [Int], _ own: [Int]) -> Int {
    var rest = index
    var result = 0
    var step = 1
    for d in full.indices.reversed() {
      let position = rest % full[d]
      rest /= full[d]
      let mine = d - (full.count - own.count)
      guard mine >= 0 else { continue }
      if own[mine] != 1 { result += position * step }
      step *= own[mine]
    }
    return result
  }

  @Test func shapesThatDoNotBroadcastAreRefused() {
    #expect(BroadcastLoop([2, 3], [2, 2]) == nil)
    #expect(BroadcastLoop.shape([4, 1], [3]) == [4, 3])
  }

  @Test func tablesAreLookedUp() {
    var random = SeededGenerator(seed: 12)
    for count in [0, 1, 15, 63, 64, 65, 127, 128, 1000] {
      let x = random.bytes(count)
      let table = random.bytes(256)
      for isa in instructionSets {
        var y = [UInt8](repeating: 0xAA, count: count + 1)
        ck_int_lookup(x, Int64(count), table, &y, isa)
        #expect(y == x.map { table[Int($0)] } + [0xAA])
      }
    }
  }

  @Test func transposesAndFlips() {
    var random = SeededGenerator(seed: 13)
    for _ in 0..<50 {
      let (batch, rows, columns) = (random.int(1...3), random.int(1...70), random.int(1...70))
      let x = random.bytes(batch * rows * columns)
      var y = x
      transpose(x, batch: batch, rows: rows, columns: columns, into: &y)
      for b in 0..<batch {
        for r in 0..<rows {
          for c in 0..<columns where y[(b * columns + c) * rows + r] != x[(b * rows + r) * columns + c] {
            Issue.record("element \(b), \(r), \(c) of \(batch)x\(rows)x\(columns)")
          }
        }
      }
      flipSign(x, count: x.count, into: &y)
      let flipped = x.map { $0 ^ 128 }
      #expect(y == flipped)
    }
  }
}

@Suite struct PoolingTests {
  @Test func poolsEqualTheirDefinitions() {
    var random = SeededGenerator(seed: 21)
    for trial in 0..<300 {
      let channels = random.int(1...70)
      let input = [random.int(1...3), random.int(1...8), random.int(1...8)]
      let kernel = (0..<3).map { random.int(1...min(3, input[$0])) }
      let stride = (0..<3).map { _ in random.int(1...2) }
      let begin = (0..<3).map { random.int(0...(kernel[$0] - 1)) }
      let output = (0..<3).map { (d: Int) -> Int in (input[d] + 2 * begin[d] - kernel[d]) / stride[d] + 1 }
      let geometry = ConvolutionGeometry(batch: 2, input: input, begin: begin, end: begin)
      var window = ck_int_pool_shape()
      window.channels = Int64(channels)
      window.kernel = (Int64(kernel[0]), Int64(kernel[1]), Int64(kernel[2]))
      window.stride = (Int64(stride[0]), Int64(stride[1]), Int64(stride[2]))
      window.dilation = (1, 1, 1)
      window.output = (Int64(output[0]), Int64(output[1]), Int64(output[2]))
      let x = random.bytes(2 * input.reduce(1, *) * channels + 64)
      let zero = random.int(0...255)
      var maxima: [UInt8] = []
      var sums: [Int32] = []
      var counts: [Int32] = []
      for b in 0..<2 {
        for o in positions(output) {
          var inside: [Int] = []
          for k in positions(kernel) {
            var index = b
            var isInside = true
            for d in 0..<3 {
              let p: Int = o[d] * stride[d] + k[d] - begin[d]
              isInside = isInside && p >= 0 && p < input[d]
              index = index * input[d] + p
            }
            if isInside { inside.append(index) }
          }
          if b == 0 { counts.append(Int32(inside.count)) }
          for c in 0..<channels {
            let values = inside.map { x[$0 * channels + c] }
            maxima.append(values.max() ?? 0)
            var sum = 0
            for value in values { sum += Int(value) - zero }
            sums.append(Int32(sum))
          }
        }
      }
      for isa in instructionSets {
        var g = geometry.c
        var y = [UInt8](repeating: 0, count: maxima.count)
        ck_int_max_pool(&window, &g, x, 0, &y, isa)
        #expect(y == maxima, "trial \(trial), instruction set \(isa)")
        var s = [Int32](repeating: 0, count: sums.count)
        var n = [Int32](repeating: 0, count: counts.count)
        ck_int_pool_sums(&window, &g, x, Int32(zero), &s, &n, isa)
        #expect(s == sums && n == counts, "trial \(trial), instruction set \(isa)")
      }
    }
  }

  private func positions(_ extents: [Int]) -> [[Int]] {
    extents.reduce([[]]) { lists, extent in lists.flatMap { list in (0..<extent).map { list + [$0] } } }
  }

  @Test func sumsOverAnAxis() {
    var random = SeededGenerator(seed: 22)
    for _ in 0..<100 {
      let (outer, count, inner) = (random.int(1...5), random.int(1...50), random.oneIn(3) ? 1 : random.int(1...40))
      let x = random.bytes(outer * count * inner)
      var expected: [Int32] = []
      for i in 0..<outer * inner {
        var sum = 0
        for k in 0..<count { sum += Int(x[(i / inner * count + k) * inner + i % inner]) - 77 }
        expected.append(Int32(sum))
      }
      for isa in instructionSets {
        var y = [Int32](repeating: 0, count: outer * inner)
        ck_int_sums(x, Int64(outer), Int64(count), Int64(inner), 77, &y, isa)
        #expect(y == expected)
      }
    }
  }
}
