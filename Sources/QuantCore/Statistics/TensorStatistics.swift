/// What calibration knows of one tensor, over all elements of all samples; merges exactly in any order.
package struct TensorStatistics: Sendable, Equatable {
  /// All elements.
  package var count: UInt64 = 0
  /// Zeros of both signs.
  package var zeros: UInt64 = 0
  package var nans: UInt64 = 0
  package var positiveInfinities: UInt64 = 0
  package var negativeInfinities: UInt64 = 0
  /// Of the finite elements; +inf when there is none.
  package var minimum = Float.infinity
  /// Of the finite elements; -inf when there is none.
  package var maximum = -Float.infinity
  package var histogram = FloatHistogram()
  /// The shapes seen, as extremes per axis: one entry per rank, by rank.
  package var shapes: [ShapeBounds] = []
  /// By ascending axis.
  package var channels: [ChannelStatistics] = []

  package init() {}

  /// The smallest and largest extent of each axis.
  package struct ShapeBounds: Sendable, Equatable {
    package var lowest: [Int]
    package var highest: [Int]

    package init(_ shape: [Int]) {
      lowest = shape
      highest = shape
    }

    package init?(lowest: [Int], highest: [Int]) {
      guard lowest.count == highest.count, zip(lowest, highest).allSatisfy({ 0 <= $0 && $0 <= $1 }) else { return nil }
      self.lowest = lowest
      self.highest = highest
    }

    mutating func merge(_ other: ShapeBounds) {
      for axis in lowest.indices {
        lowest[axis] = min(lowest[axis], other.lowest[axis])
        highest[axis] = max(highest[axis], other.highest[axis])
      }
    }
  }

  package var nonFinite: UInt64 { nans &+ positiveInfinities &+ negativeInfinities }
  package var finite: UInt64 { count &- nonFinite }

  /// The shape that all samples had, if they had one.
  package var shape: [Int]? {
    guard shapes.count == 1, shapes[0].lowest == shapes[0].highest else { return nil }
    return shapes[0].lowest
  }

  package func channels(axis: Int) -> ChannelStatistics? { channels.first { $0.axis == axis } }

  package mutating func insert(_ shape: ShapeBounds) {
    let index = shapes.firstIndex { $0.lowest.count >= shape.lowest.count } ?? shapes.count
    if index < shapes.count, shapes[index].lowest.count == shape.lowest.count {
      shapes[index].merge(shape)
    } else {
      shapes.insert(shape, at: index)
    }
  }

  /// Throws when a counter overflows, which only a damaged file can bring about.
  package mutating func merge(_ other: TensorStatistics) throws(StatisticsError) {
    func sum(_ left: UInt64, _ right: UInt64) throws(StatisticsError) -> UInt64 {
      let (sum, overflow) = left.addingReportingOverflow(right)
      if overflow { throw .overflow }
      return sum
    }
    count = try sum(count, other.count)
    zeros = try sum(zeros, other.zeros)
    nans = try sum(nans, other.nans)
    positiveInfinities = try sum(positiveInfinities, other.positiveInfinities)
    negativeInfinities = try sum(negativeInfinities, other.negativeInfinities)
    minimum = min(minimum, other.minimum)
    maximum = max(maximum, other.maximum)
    guard histogram.merge(other.histogram) else { throw .overflow }
    for shape in other.shapes { insert(shape) }
    for theirs in other.channels {
      if let index = channels.firstIndex(where: { $0.axis == theirs.axis }) {
        guard channels[index].merge(theirs) else { throw .overflow }
      } else {
        channels.insert(theirs, at: channels.firstIndex { $0.axis > theirs.axis } ?? channels.count)
      }
    }
  }
}

/// Why statistics cannot be combined.
package enum StatisticsError: Error, Equatable, CustomStringConvertible {
  case overflow
  case mismatch(String)

  package var description: String {
    switch self {
    case .overflow: "the counters of these statistics overflow 64 bits; a file is damaged: calibrate again"
    case .mismatch(let reason): reason
    }
  }
}
