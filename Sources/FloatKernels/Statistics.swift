import CKernels

/// One-pass statistics of float tensors. All results are independent of threads, instruction set and the order of calls
/// that add to one histogram.
package enum Statistics {
  /// Counts, and the extremes of the finite elements (+inf and -inf of none).
  package struct Summary: Equatable, Sendable {
    package var count: Int
    package var zeros: Int
    package var nans: Int
    package var positiveInfinities: Int
    package var negativeInfinities: Int
    package var minimum: Float
    package var maximum: Float
  }

  /// Bins of a histogram; the bin of a float is the top 17 bits of its pattern.
  package static var binCount: Int { Int(CK_HISTOGRAM_BINS) }

  package static func summary(
    _ x: UnsafeBufferPointer<Float>, instructionSet: InstructionSet = .current, pool: ThreadPool? = nil
  ) -> Summary {
    let s = ck_summarize(instructionSet.value, pool?.handle, x.baseAddress, x.count)
    return Summary(
      count: Int(s.count), zeros: Int(s.zeros), nans: Int(s.nans), positiveInfinities: Int(s.positive_infinities),
      negativeInfinities: Int(s.negative_infinities), minimum: s.min, maximum: s.max)
  }

  /// Adds every element, NaN and infinities too, to `bins`, which has `binCount` counters.
  package static func addHistogram(
    of x: UnsafeBufferPointer<Float>, to bins: UnsafeMutableBufferPointer<UInt64>, pool: ThreadPool? = nil
  ) throws(KernelError) {
    try require("histogram", "bins", has: bins.count, atLeast: binCount)
    ck_histogram(pool?.handle, x.baseAddress, x.count, bins.baseAddress)
  }

  /// Sums in float64 by a fixed tree (see `ck_statistics.h`), extremes without NaN.
  package struct Channels: Sendable {
    package var sums: [Double]
    package var squares: [Double]
    package var minima: [Float]
    package var maxima: [Float]
  }

  /// Per channel of x [outer][channels][inner].
  package static func channels(
    _ x: UnsafeBufferPointer<Float>, outer: Int, channels: Int, inner: Int, instructionSet: InstructionSet = .current,
    pool: ThreadPool? = nil
  ) throws(KernelError) -> Channels {
    try require(
      "channel statistics", "input", has: x.count, atLeast: elementCount("channel statistics", outer, channels, inner))
    var result = Channels(
      sums: [Double](repeating: 0, count: channels), squares: [Double](repeating: 0, count: channels),
      minima: [Float](repeating: .infinity, count: channels), maxima: [Float](repeating: -.infinity, count: channels))
    ck_channel_statistics(
      instructionSet.value, pool?.handle, x.baseAddress, outer, channels, inner, &result.sums, &result.squares,
      &result.minima, &result.maxima)
    return result
  }
}
