/// The passes over a tensor's elements that observation makes.
enum StatisticsKernels {
  struct Summary {
    var count: UInt64 = 0
    var zeros: UInt64 = 0
    var nans: UInt64 = 0
    var positiveInfinities: UInt64 = 0
    var negativeInfinities: UInt64 = 0
    var minimum = Float.infinity
    var maximum = -Float.infinity
  }

  static func summarize(_ elements: UnsafeBufferPointer<Float>, _ pool: OpaquePointer?) -> Summary {
    var summary = Summary()
    summary.count = UInt64(elements.count)
    for element in elements {
      if element == 0 { summary.zeros += 1 }
      if element.isFinite {
        if element < summary.minimum { summary.minimum = element }
        if element > summary.maximum { summary.maximum = element }
      } else if element.isNaN {
        summary.nans += 1
      } else if element > 0 {
        summary.positiveInfinities += 1
      } else {
        summary.negativeInfinities += 1
      }
    }
    summary.minimum += 0
    summary.maximum += 0
    return summary
  }

  static func count(
    _ elements: UnsafeBufferPointer<Float>, into bins: UnsafeMutablePointer<UInt64>, _ pool: OpaquePointer?
  ) {
    for element in elements { bins[Int(element.bitPattern >> 15)] &+= 1 }
  }

  /// Per channel of elements[outer][channels][inner]. Each sum is a fixed tree: within a run of `inner`, element i goes
  /// to lane i mod 16, lanes are folded 8, 4, 2, 1; the runs are added in the order of `outer`.
  static func channels(
    _ elements: UnsafeBufferPointer<Float>, outer: Int, channels: Int, inner: Int, _ pool: OpaquePointer?
  ) -> (sums: [Double], minima: [Float], maxima: [Float]) {
    var sums = [Double](repeating: 0, count: channels)
    var minima = [Float](repeating: .infinity, count: channels)
    var maxima = [Float](repeating: -.infinity, count: channels)
    var lanes = [Double](repeating: 0, count: 16)
    for run in 0..<outer * channels {
      let channel = run % channels
      for lane in 0..<16 { lanes[lane] = 0 }
      var (low, high) = (minima[channel], maxima[channel])
      for index in 0..<inner {
        let element = elements[run * inner + index]
        lanes[index & 15] += Double(element)
        if element < low { low = element }
        if element > high { high = element }
      }
      (minima[channel], maxima[channel]) = (low, high)
      for width in [8, 4, 2, 1] { for lane in 0..<width { lanes[lane] += lanes[lane + width] } }
      sums[channel] += lanes[0]
    }
    return (sums, minima, maxima)
  }
}
