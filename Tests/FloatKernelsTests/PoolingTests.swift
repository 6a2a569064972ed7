import FloatKernels
import Glibc
import Testing

@Suite struct PoolingTests {
  private func pooled(_ kind: PoolingKind, _ s: PoolingShape, _ x: [Float]) -> [Float] {
    let rank = s.input.count
    let (input, kernel) = (s.input.reduce(1, *), s.kernel.reduce(1, *))
    var y: [Float] = []
    func digits(_ index: Int, _ sizes: [Int]) -> [Int] {
      var rest = index
      return sizes.reversed().map { size in
        defer { rest /= size }
        return rest % size
      }.reversed()
    }
    for plane in 0..<s.planes {
      for pixel in 0..<s.output.reduce(1, *) {
        let at = digits(pixel, s.output)
        var (sum, inside, padded) = (Float(0), 0, 0)
        if case .max = kind { sum = -.infinity }
        for tap in 0..<kernel {
          let t = digits(tap, s.kernel)
          let p = (0..<rank).map { at[$0] * s.strides[$0] - s.padBegin[$0] + t[$0] * s.dilations[$0] }
          let isInside = (0..<rank).allSatisfy { p[$0] >= 0 && p[$0] < s.input[$0] }
          let isPadded = (0..<rank).allSatisfy { p[$0] >= -s.padBegin[$0] && p[$0] < s.input[$0] + s.padEnd[$0] }
          inside += isInside ? 1 : 0
          padded += isPadded ? 1 : 0
          guard isInside else { continue }
          let v = x[plane * input + zip(p, s.input).reduce(0) { $0 * $1.1 + $1.0 }]
          switch kind {
          case .max: sum = v > sum || v.isNaN ? v : sum
          case .average: sum += v
          case .norm(p: 1): sum += abs(v)
          case .norm: sum = fmaf(v, v, sum)
          }
        }
        switch kind {
        case .average(let includingPadding): sum /= Float(includingPadding ? padded : inside)
        case .norm(p: 2): sum = sum.squareRoot()
        default: break
        }
        y.append(sum)
      }
    }
    return y
  }

  @Test(arguments: [1, 2, 3]) func randomShapes(rank: Int) throws {
    var random = Random(UInt64(40 + rank))
    for round in 0..<60 {
      var s = PoolingShape(
        planes: random.pick(0...3), input: [], kernel: [], strides: [], dilations: [], padBegin: [], padEnd: [],
        output: [])
      for _ in 0..<rank {
        let input = random.pick(1...(rank == 1 ? 300 : rank == 2 ? 30 : 8))
        let kernel = random.pick(1...4)
        let (stride, dilation) = (random.pick([1, 1, 2, 3]), random.pick([1, 1, 2]))
        let (before, after) = (random.pick(0...2), random.pick(0...2))
        let span = (kernel - 1) * dilation + 1
        s.input.append(input)
        s.kernel.append(kernel)
        s.strides.append(stride)
        s.dilations.append(dilation)
        s.padBegin.append(before)
        s.padEnd.append(after)
        // One more than fits, as ceil_mode gives.
        s.output.append(max(0, (input + before + after - span + stride) / stride + random.pick(0...1)))
      }
      if round == 0 && rank == 1 { (s.dilations, s.padBegin, s.kernel) = ([500_000], [500_000], [3]) }
      var x = random.floats(s.planes * s.input.reduce(1, *))
      if !x.isEmpty && random.chance(20) { x[random.pick(0...x.count - 1)] = .nan }
      for kind in [
        PoolingKind.max, .average(includingPadding: false), .average(includingPadding: true), .norm(p: 1),
        .norm(p: 2),
      ] {
        let expected = pooled(kind, s, x)
        for backend in backends {
          let y = try output(expected.count) { y in
            try x.withUnsafeBufferPointer { try backend.pool(kind, s, $0, into: y) }
          }
          let difference = firstDifference(y, expected)
          #expect(difference == nil, "\(backend.label) \(kind) \(s)")
          if difference != nil { return }
        }
      }
    }
  }

  @Test func wrongSizesAreErrors() {
    let backend = FloatBackend(pool: nil)
    let x = [Float](repeating: 0, count: 8)
    var y = x
    x.withUnsafeBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        let s = PoolingShape(
          planes: 1, input: [8], kernel: [2], strides: [2], dilations: [1], padBegin: [0], padEnd: [0], output: [9])
        #expect(throws: KernelError.self) { try backend.pool(.max, s, x, into: y) }
        #expect(throws: KernelError.self) { try backend.pool(.norm(p: 3), s, x, into: y) }
      }
    }
  }
}
