import CKernels
import FloatKernels
import Testing

@Suite struct StatisticsTests {
  private let sets = InstructionSet.all.filter(\.isAvailable)
  private let pools: [ThreadPool?] = [nil, ThreadPool(threads: 3)]

  private func values(_ count: Int, _ random: inout Random) -> [Float] {
    let special: [Float] = [0, -0.0, .nan, .infinity, -.infinity, -3.4e38, .leastNonzeroMagnitude]
    return (0..<count).map { _ in
      random.chance(10) ? random.pick(special) : Float.random(in: -3...5, using: &random)
    }
  }

  @Test func summaryAndHistogram() throws {
    var random = Random(80)
    for count in [0, 1, 2, 15, 16, 17, 1000, 200_003, 1_500_000] {
      var x = values(count, &random)
      if count == 1000 { x = x.map { _ in .nan } }
      if count == 15 { x = x.map { -abs($0) } }
      let finite = x.filter(\.isFinite)
      var bins = [UInt64](repeating: 0, count: Int(CK_HISTOGRAM_BINS))
      for v in x { bins[Int(v.bitPattern >> 15)] += 1 }
      for pool in pools {
        for set in sets {
          let s = x.withUnsafeBufferPointer { Statistics.summary($0, instructionSet: set, pool: pool) }
          #expect(s.count == count)
          #expect(s.zeros == x.count { $0 == 0 })
          #expect(s.nans == x.count { $0.isNaN })
          #expect(s.positiveInfinities == x.count { $0 == .infinity })
          #expect(s.negativeInfinities == x.count { $0 == -.infinity })
          #expect(s.minimum == finite.min() ?? .infinity)
          #expect(s.maximum == finite.max() ?? -.infinity)
          #expect(s.minimum != 0 || s.minimum.sign == .plus)
        }
        var counted = [UInt64](repeating: 0, count: Statistics.binCount)
        for _ in 0..<2 {
          try x.withUnsafeBufferPointer { x in
            try counted.withUnsafeMutableBufferPointer { try Statistics.addHistogram(of: x, to: $0, pool: pool) }
          }
        }
        #expect(counted == bins.map { 2 * $0 })
      }
    }
  }

  @Test func channels() throws {
    var random = Random(81)
    for (outer, channels, inner) in [
      (1, 1, 1), (2, 3, 100), (5, 40, 1), (1, 64, 49), (200, 700, 1), (3, 2, 0), (0, 4, 5),
    ] {
      let x = (0..<(outer * channels * inner)).map { _ in
        random.chance(3) ? Float.nan : Float.random(in: -3...5, using: &random)
      }
      func summed(_ term: (Float) -> Double) -> [Double] {
        (0..<channels).map { c in
          var sum = 0.0
          for o in 0..<outer {
            var lanes = [Double](repeating: 0, count: inner == 1 ? 1 : 16)
            for i in 0..<inner { lanes[i % lanes.count] += term(x[(o * channels + c) * inner + i]) }
            var half = lanes.count / 2
            while half > 0 {
              for i in 0..<half { lanes[i] += lanes[i + half] }
              half /= 2
            }
            sum += lanes[0]
          }
          return sum
        }
      }
      let sums = summed { Double($0) }
      let squares = summed { Double($0) * Double($0) }
      for pool in pools {
        for set in sets {
          let result = try x.withUnsafeBufferPointer {
            try Statistics.channels(
              $0, outer: outer, channels: channels, inner: inner, instructionSet: set, pool: pool)
          }
          for c in 0..<channels {
            #expect(
              result.sums[c].bitPattern == sums[c].bitPattern || (result.sums[c].isNaN && sums[c].isNaN),
              "\(set) \(outer) \(channels) \(inner)")
            #expect(
              result.squares[c].bitPattern == squares[c].bitPattern || (result.squares[c].isNaN && squares[c].isNaN),
              "\(set) \(outer) \(channels) \(inner)")
            let own = (0..<(outer * inner)).map { x[($0 / max(inner, 1) * channels + c) * inner + $0 % max(inner, 1)] }
              .filter { !$0.isNaN }
            #expect(result.minima[c] == own.min() ?? .infinity)
            #expect(result.maxima[c] == own.max() ?? -.infinity)
          }
        }
      }
    }
  }
}
