/// Percentiles of all values of all samples, pooled: no mean of per-batch percentiles.
///
/// Inside a bin the bound grows evenly from the bin's lower to its upper edge, so it is continuous and monotone in the
/// percentile and 100 gives min-max. Symmetric grids take the percentile of magnitudes; asymmetric ones cut half of the
/// rest from each side, or all of it from the only side that has values.
struct PercentileRange {
  var percentile: Double

  func range(_ distribution: Distribution, symmetric: Bool) -> ValueRange {
    let tail = (100 - percentile) / 100 * distribution.total
    let (positive, negative) = (distribution.positive, distribution.negative)
    var upper: Double
    var lower: Double
    if symmetric {
      let bound = distribution.magnitude(covering: percentile / 100)
      (lower, upper) = (-bound, bound)
    } else {
      let share = positive.isEmpty || negative.isEmpty ? 1.0 : 0.5
      upper = distribution.magnitude(of: positive, leaving: tail * share)
      lower = -distribution.magnitude(of: negative, leaving: tail * share)
    }
    upper = min(upper, distribution.maximum)
    lower = max(lower, distribution.minimum)
    return ValueRange(Float(min(lower, upper)), Float(max(lower, upper)))
  }
}
