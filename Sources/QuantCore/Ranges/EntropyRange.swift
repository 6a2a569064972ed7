/// The threshold T of least Kullback-Leibler divergence between the magnitudes up to T, what is beyond T counted in the
/// last bin, and the same magnitudes quantized.
///
/// Magnitudes are resampled to 2048 even bins up to the largest one. Exact zeros are left out: every grid holds them.
/// Candidates end at a bin edge and cover at least 99.9 % of all values; below that the divergence rewards any narrow
/// slice of smooth data. Empty bins stay empty. Equal divergences are decided for the wider range.
struct EntropyRange {
  static let binCount = 2048
  static let coverage = 0.999

  func range(_ distribution: Distribution, scheme: QuantizationScheme) -> ValueRange {
    let full = ValueRange(Float(distribution.minimum), Float(distribution.maximum))
    let largest = distribution.largestMagnitude
    guard largest > 0, let codes = QuantizationScheme.codes(of: scheme.elementType) else { return full }
    // Steps from zero to the larger end of the grid: half of all codes, or all when values are on one side only.
    let codeCount = Double(codes.upperBound) - Double(codes.lowerBound) + 1
    let width = scheme.isSymmetric ? 2 * largest : max(distribution.maximum, 0) - min(distribution.minimum, 0)
    let levels = Int((codeCount * largest / width).rounded(.toNearestOrEven))
    guard levels >= 2, levels < Self.binCount else { return full }
    let bins = resample(distribution, width: largest / Double(Self.binCount))
    let floor = distribution.magnitude(covering: Self.coverage)
    let fewest = max(levels, Int((floor / largest * Double(Self.binCount)).rounded(.up)))
    let best = Self.leastDivergence(bins, levels: levels, fewest: min(fewest, Self.binCount))
    let threshold = best == Self.binCount ? largest : largest * Double(best) / Double(Self.binCount)
    return distribution.range(within: threshold)
  }

  private func resample(_ distribution: Distribution, width: Double) -> [Double] {
    var bins = [Double](repeating: 0, count: Self.binCount)
    let last = Self.binCount - 1
    for side in [distribution.positive, distribution.negative] {
      for index in side.counts.indices {
        let (low, high) = (side.lower[index] / width, side.upper[index] / width)
        let first = Int(min(low, Double(last)))
        let end = Int(min(high, Double(last)))
        if first == end || high <= low {
          bins[first] += side.counts[index]
          continue
        }
        let density = side.counts[index] / (high - low)
        for bin in first...end {
          let overlap = (bin == end ? high : Double(bin + 1)) - max(low, Double(bin))
          bins[bin] += density * overlap
        }
      }
    }
    return bins
  }

  /// The number of leading bins, from `fewest` up, whose divergence is least; the largest such number.
  static func leastDivergence(_ bins: [Double], levels: Int, fewest: Int) -> Int {
    var counts = [0.0]
    var filled = [0]
    var selfInformation = [0.0]
    for bin in bins {
      counts.append(counts[counts.count - 1] + bin)
      filled.append(filled[filled.count - 1] + (bin > 0 ? 1 : 0))
      selfInformation.append(selfInformation[selfInformation.count - 1] + (bin > 0 ? bin * portableLogarithm(bin) : 0))
    }
    let total = counts[bins.count]
    guard total > 0 else { return bins.count }
    var best = bins.count
    var least = Double.infinity
    for size in stride(from: bins.count, through: max(fewest, 1), by: -1) {
      let kept = counts[size]
      let outside = total - kept
      // An empty last bin that would take the rest has no quantized counterpart.
      if kept <= 0 || (bins[size - 1] <= 0 && outside > 0) { continue }
      let last = bins[size - 1] + outside
      let reference = selfInformation[size - 1] + (last > 0 ? last * portableLogarithm(last) : 0)
      var cross = 0.0
      for level in 0..<levels {
        let (start, end) = (level * size / levels, (level + 1) * size / levels)
        let sum = counts[end] - counts[start]
        let nonEmpty = filled[end] - filled[start]
        guard nonEmpty > 0, sum > 0 else { continue }
        let mass = end == size ? sum + outside : sum
        cross += mass * portableLogarithm(sum / Double(nonEmpty))
      }
      let divergence = (reference - cross) / total - portableLogarithm(total) + portableLogarithm(kept)
      if divergence < least { (best, least) = (size, divergence) }
    }
    return best
  }
}
