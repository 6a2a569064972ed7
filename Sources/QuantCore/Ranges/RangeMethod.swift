/// How a range is derived from a tensor's statistics. All methods use the statistics alone, in a fixed order of
/// operations, so the result is the same on every machine.
package enum RangeMethod: Sendable, Hashable {
  /// The smallest and largest value.
  case minMax
  /// The range that leaves `100 - percentile` percent of all values outside.
  case percentile(Double)
  /// The threshold whose quantized distribution has the least Kullback-Leibler divergence.
  case entropy
  /// The range with the least expected squared error on the target's grid, clipping included.
  case meanSquaredError
  /// The one among the others with the least expected squared error on the target's grid; min-max wins ties.
  case automatic

  package static let defaultPercentile = 99.99

  /// `minmax`, `percentile`, `percentile:99.9`, `entropy`, `mse`, `auto`.
  package init(parsing text: String) throws(QuantizationError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    switch (parts[0], parts.count) {
    case ("minmax", 1): self = .minMax
    case ("entropy", 1): self = .entropy
    case ("mse", 1): self = .meanSquaredError
    case ("auto", 1): self = .automatic
    case ("percentile", 1): self = .percentile(Self.defaultPercentile)
    case ("percentile", 2):
      guard let percentile = Double(parts[1]), percentile > 50, percentile <= 100 else {
        throw QuantizationError(.badOption, "'\(parts[1])' is not a percentile; it must be above 50 and at most 100")
      }
      self = .percentile(percentile)
    default:
      throw QuantizationError(
        .badOption, "'\(text)' is not a range method; use minmax, percentile[:99.99], entropy, mse or auto")
    }
  }
}

extension RangeMethod: CustomStringConvertible {
  package var description: String {
    switch self {
    case .minMax: "minmax"
    case .percentile(let percentile):
      percentile == percentile.rounded() ? "percentile:\(Int(percentile))" : "percentile:\(percentile)"
    case .entropy: "entropy"
    case .meanSquaredError: "mse"
    case .automatic: "auto"
    }
  }
}

/// What to do with a tensor that held NaN or infinities.
package enum NonFinitePolicy: String, Sendable, CaseIterable {
  case error
  /// The range of the finite values.
  case ignore
}

/// A range and how it came about.
package struct RangeChoice: Sendable, Equatable {
  package var range: ValueRange
  /// The method that gave it: for `auto` the one that won.
  package var method: RangeMethod
  package var parameters: QuantizationParameters
  /// Expected signal-to-noise ratio on the grid.
  package var sqnr: Double
}

extension RangeMethod {
  /// The range and parameters for a tensor on a grid of `scheme`.
  ///
  /// - Throws: `QuantizationError` when there is no finite value, or one is not finite and `policy` forbids that.
  package func choose(
    for statistics: TensorStatistics, scheme: QuantizationScheme, nonFinite policy: NonFinitePolicy = .error
  ) throws(QuantizationError) -> RangeChoice {
    guard statistics.count > 0 else {
      throw QuantizationError(.noData, "the tensor saw no data")
    }
    if statistics.nonFinite > 0 && policy == .error {
      throw QuantizationError(
        .nonFinite,
        "\(statistics.nans) NaN and \(statistics.positiveInfinities + statistics.negativeInfinities) infinite values"
          + " among \(statistics.count)")
    }
    guard let distribution = Distribution(statistics) else {
      throw QuantizationError(.nonFinite, "none of the \(statistics.count) values is finite")
    }
    let full = ValueRange(statistics.minimum, statistics.maximum)
    if self == .automatic { return try Self.best(full, distribution, scheme) }
    return try choice(range(full, distribution, scheme), distribution, scheme)
  }

  /// The range alone, as `choose` gives it.
  package func range(
    for statistics: TensorStatistics, scheme: QuantizationScheme, nonFinite policy: NonFinitePolicy = .error
  ) throws(QuantizationError) -> ValueRange {
    try choose(for: statistics, scheme: scheme, nonFinite: policy).range
  }

  private func range(
    _ full: ValueRange, _ distribution: Distribution, _ scheme: QuantizationScheme
  ) throws(QuantizationError) -> ValueRange {
    switch self {
    case .minMax, .automatic: full
    case .percentile(let percentile):
      PercentileRange(percentile: percentile).range(distribution, symmetric: scheme.isSymmetric)
    case .entropy: EntropyRange().range(distribution, scheme: scheme)
    case .meanSquaredError: try SquaredErrorRange(scheme: scheme).range(full, distribution)
    }
  }

  private func choice(
    _ range: ValueRange, _ distribution: Distribution, _ scheme: QuantizationScheme
  ) throws(QuantizationError) -> RangeChoice {
    let parameters = try scheme.parameters(for: range)
    let noise = distribution.noise(parameters) ?? .infinity
    return RangeChoice(
      range: range, method: self, parameters: parameters,
      sqnr: decibels(signal: distribution.energy, noise: noise))
  }

  private static func best(
    _ full: ValueRange, _ distribution: Distribution, _ scheme: QuantizationScheme
  ) throws(QuantizationError) -> RangeChoice {
    var best = try RangeMethod.minMax.choice(full, distribution, scheme)
    var least = distribution.noise(best.parameters) ?? .infinity
    for method in [.percentile(99.999), .percentile(99.99), .percentile(99.9), .entropy, .meanSquaredError]
      as [RangeMethod]
    {
      let candidate = try method.choice(method.range(full, distribution, scheme), distribution, scheme)
      let noise = distribution.noise(candidate.parameters) ?? .infinity
      if noise < least { (best, least) = (candidate, noise) }
    }
    return best
  }
}
