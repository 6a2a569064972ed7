/// The range with the least expected squared error on the grid that `scheme` makes of it.
///
/// Each end is searched over its largest value times 2^(-k/8), then between the neighbours of the best. Asymmetric grids
/// search both ends together (one bound on magnitudes), then each in turn until nothing improves.
struct SquaredErrorRange {
  var scheme: QuantizationScheme
  static let candidates = 160
  static let refinements = 16

  func range(_ full: ValueRange, _ distribution: Distribution) throws(QuantizationError) -> ValueRange {
    // The middle non-zero magnitude: no optimum of a grid of 4 bits or more clips below it.
    let zeroShare = distribution.zeros / max(distribution.total, 1)
    let smallest = distribution.magnitude(covering: zeroShare + 0.5 * (1 - zeroShare))
    var best = full
    var least = try noise(full, distribution)

    func consider(_ range: ValueRange) throws(QuantizationError) -> Bool {
      let candidate = try noise(range, distribution)
      guard candidate < least else { return false }
      (best, least) = (range, candidate)
      return true
    }

    /// Searches a bound from `largest` down; `make` gives the range for it.
    func search(_ largest: Double, _ make: (Double) -> ValueRange) throws(QuantizationError) -> Bool {
      guard largest > 0 else { return false }
      var improved = false
      var centre: Double?
      for step in 1..<Self.candidates {
        let bound = largest * Self.power(-step)
        if bound < smallest { break }
        if try consider(make(bound)) { (improved, centre) = (true, bound) }
      }
      let middle = centre ?? largest
      let (low, high) = (middle * Self.power(-1), min(largest, middle * Self.power(1)))
      for step in 1..<Self.refinements {
        let bound = low + (high - low) * Double(step) / Double(Self.refinements)
        if try consider(make(bound)) { improved = true }
      }
      return improved
    }

    let (minimum, maximum) = (distribution.minimum, distribution.maximum)
    _ = try search(distribution.largestMagnitude) { distribution.range(within: $0) }
    if scheme.isSymmetric || minimum >= 0 || maximum <= 0 { return best }
    for _ in 0..<3 {
      let lower = best.lower
      let upperImproved = try search(maximum) { ValueRange(lower, Float($0)) }
      let upper = best.upper
      let lowerImproved = try search(-minimum) { ValueRange(Float(-$0), upper) }
      if !upperImproved && !lowerImproved { break }
    }
    return best
  }

  private func noise(_ range: ValueRange, _ distribution: Distribution) throws(QuantizationError) -> Double {
    distribution.noise(try scheme.parameters(for: range)) ?? .infinity
  }

  /// 2^(step/8), the same bits everywhere.
  static func power(_ step: Int) -> Double {
    let eighths = [
      1.0, 0x1.172b83c7d517bp0, 0x1.306fe0a31b715p0, 0x1.4bfdad5362a27p0, 0x1.6a09e667f3bcdp0, 0x1.8ace5422aa0dbp0,
      0x1.ae89f995ad3adp0, 0x1.d5818dcfba487p0,
    ]
    return Double(sign: .plus, exponent: step >> 3, significand: eighths[step & 7])
  }
}
