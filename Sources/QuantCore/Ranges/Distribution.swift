/// The finite values of a tensor as its statistics know them: bins of magnitudes on both sides of zero.
///
/// Inside a bin values are taken as evenly spread. The outermost bins end at the tensor's minimum and maximum.
struct Distribution {
  /// Bins by ascending magnitude, `lower <= upper`.
  struct Side {
    var lower: [Double] = []
    var upper: [Double] = []
    var counts: [Double] = []
    /// Sum of squares of all values below each bin; one entry more than there are bins.
    var squaresBelow: [Double] = [0]
    /// Number of all values below each bin.
    var countBelow: [Double] = [0]

    var isEmpty: Bool { counts.isEmpty }
    var total: Double { countBelow[counts.count] }
    var largest: Double { upper.last ?? 0 }

    mutating func append(_ lower: Double, _ upper: Double, _ count: Double) {
      self.lower.append(lower)
      self.upper.append(upper)
      counts.append(count)
      squaresBelow.append(squaresBelow[counts.count - 1] + count * (lower * lower + lower * upper + upper * upper) / 3)
      countBelow.append(countBelow[counts.count - 1] + count)
    }

    /// How many values are below `magnitude`.
    func count(below magnitude: Double) -> Double {
      let index = firstBin(endingAbove: magnitude)
      guard index < counts.count, lower[index] < magnitude else { return countBelow[index] }
      let share = (magnitude - lower[index]) / (upper[index] - lower[index])
      return countBelow[index] + counts[index] * share
    }

    func firstBin(endingAbove magnitude: Double) -> Int {
      var (low, high) = (0, upper.count)
      while low < high {
        let middle = (low + high) / 2
        if upper[middle] > magnitude { high = middle } else { low = middle + 1 }
      }
      return low
    }
  }

  private(set) var positive = Side()
  private(set) var negative = Side()
  /// Zeros, and values too small to be in a bin.
  private(set) var zeros: Double
  let minimum: Double
  let maximum: Double

  /// nil when the tensor has no finite value.
  init?(_ statistics: TensorStatistics) {
    guard statistics.finite > 0, statistics.minimum <= statistics.maximum else { return nil }
    minimum = Double(statistics.minimum)
    maximum = Double(statistics.maximum)
    zeros = 0
    for page in statistics.histogram.pages {
      let isNegative = page.key >= 256
      let limit = isNegative ? -minimum : maximum
      let floor = isNegative ? -maximum : minimum
      for (index, count) in page.counts.enumerated() where count > 0 {
        var (lower, upper) = FloatHistogram.magnitudes(key: Int(page.key), index: index)
        upper = min(upper, max(limit, 0))
        lower = min(upper, max(lower, floor))
        if isNegative {
          negative.append(lower, upper, Double(count))
        } else {
          positive.append(lower, upper, Double(count))
        }
      }
    }
    zeros = max(0, Double(statistics.finite) - positive.total - negative.total)
  }

  var total: Double { positive.total + negative.total + zeros }
  var largestMagnitude: Double { max(-minimum, maximum, 0) }
  /// Sum of squares of all values.
  var energy: Double { (positive.squaresBelow.last ?? 0) + (negative.squaresBelow.last ?? 0) }

  /// The values' range without what is beyond `bound` on either side.
  func range(within bound: Double) -> ValueRange {
    ValueRange(Float(min(max(minimum, -bound), bound)), Float(min(max(maximum, -bound), bound)))
  }

  /// The least magnitude with at least `share` of all values at or below it.
  func magnitude(covering share: Double) -> Double {
    let wanted = share * total
    if wanted <= zeros { return 0 }
    // Both sides grow with the magnitude, so halving the interval finds the place; 80 halvings exhaust float64.
    var (low, high) = (0.0, largestMagnitude)
    for _ in 0..<80 {
      let middle = low + (high - low) / 2
      if middle <= low || middle >= high { break }
      if zeros + positive.count(below: middle) + negative.count(below: middle) >= wanted {
        high = middle
      } else {
        low = middle
      }
    }
    return high
  }

  /// The magnitude on one side beyond which `tail` values of it remain.
  func magnitude(of side: Side, leaving tail: Double) -> Double {
    let wanted = side.total - tail
    if side.isEmpty || wanted <= 0 { return 0 }
    var (low, high) = (0, side.counts.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if side.countBelow[middle + 1] >= wanted { high = middle } else { low = middle + 1 }
    }
    let share = min(1, max(0, (wanted - side.countBelow[low]) / side.counts[low]))
    return side.lower[low] + (side.upper[low] - side.lower[low]) * share
  }
}
