/// Extremes and exact sums per index of one axis of a tensor.
package struct ChannelStatistics: Sendable, Equatable {
  /// The axis as asked for; negative ones count from the last.
  package let axis: Int
  package internal(set) var contents: Contents

  package enum Contents: Sendable, Equatable {
    case none
    case channels(Channels)
    /// Samples disagreed on the number of channels, or the tensor lacks the axis.
    case inconsistent
  }

  package struct Channels: Sendable, Equatable {
    /// Elements per channel.
    package internal(set) var elements: UInt64
    /// Of the elements that are not NaN; +inf of nothing.
    package internal(set) var minima: [Float]
    /// Of the elements that are not NaN; -inf of nothing.
    package internal(set) var maxima: [Float]
    package internal(set) var sums: ExactSums
    /// Of the squares of the elements.
    package internal(set) var squares: ExactSums

    init(count: Int) {
      elements = 0
      minima = Array(repeating: .infinity, count: count)
      maxima = Array(repeating: -.infinity, count: count)
      sums = ExactSums(count: count)
      squares = ExactSums(count: count)
    }

    package init?(elements: UInt64, minima: [Float], maxima: [Float], sums: ExactSums, squares: ExactSums) {
      guard minima.count == maxima.count, minima.count == sums.count, minima.count == squares.count else { return nil }
      self.elements = elements
      self.minima = minima
      self.maxima = maxima
      self.sums = sums
      self.squares = squares
    }

    package var count: Int { minima.count }

    /// The mean of every channel; nil when nothing was seen or an element was not finite.
    package var means: [Double]? {
      guard elements > 0 else { return nil }
      var means: [Double] = []
      means.reserveCapacity(count)
      for channel in 0..<count {
        guard let sum = sums.value(channel) else { return nil }
        means.append(sum / Double(elements))
      }
      return means
    }

    /// The variance of every channel about its own mean; nil when nothing was seen, an element was not finite, or a
    /// square is too large to add.
    package var variances: [Double]? {
      guard let means else { return nil }
      var variances: [Double] = []
      variances.reserveCapacity(count)
      for channel in 0..<count {
        guard let square = squares.value(channel) else { return nil }
        variances.append(max(0, square / Double(elements) - means[channel] * means[channel]))
      }
      return variances
    }
  }

  package init(axis: Int, contents: Contents = .none) {
    self.axis = axis
    self.contents = contents
  }

  package var channels: Channels? { if case .channels(let channels) = contents { channels } else { nil } }
  package var means: [Double]? { channels?.means }

  /// False on overflow of the element count.
  mutating func merge(_ other: ChannelStatistics) -> Bool {
    switch (contents, other.contents) {
    case (_, .none): break
    case (.none, _): contents = other.contents
    case (.channels(var mine), .channels(let theirs)) where mine.count == theirs.count:
      let (elements, overflow) = mine.elements.addingReportingOverflow(theirs.elements)
      if overflow { return false }
      contents = .none
      mine.elements = elements
      for channel in 0..<mine.count {
        mine.minima[channel] = min(mine.minima[channel], theirs.minima[channel])
        mine.maxima[channel] = max(mine.maxima[channel], theirs.maxima[channel])
      }
      mine.sums.merge(theirs.sums)
      mine.squares.merge(theirs.squares)
      contents = .channels(mine)
    default: contents = .inconsistent
    }
    return true
  }
}
