import CKernels

/// The passes over a tensor's elements that observation makes. `pool` is a `ck_pool`, nil for the caller's thread alone;
/// results do not depend on it.
enum StatisticsKernels {
  static func summarize(_ elements: UnsafeBufferPointer<Float>, _ pool: OpaquePointer?) -> ck_summary {
    ck_summarize(ck_isa_current(), pool, elements.baseAddress, elements.count)
  }

  static func count(
    _ elements: UnsafeBufferPointer<Float>, into bins: UnsafeMutablePointer<UInt64>, _ pool: OpaquePointer?
  ) {
    ck_histogram(pool, elements.baseAddress, elements.count, bins)
  }

  /// Per channel of elements[outer][channels][inner]; each sum is a fixed tree of additions.
  static func channels(
    _ elements: UnsafeBufferPointer<Float>, outer: Int, channels: Int, inner: Int, _ pool: OpaquePointer?
  ) -> (sums: [Double], squares: [Double], minima: [Float], maxima: [Float]) {
    var sums = [Double](repeating: 0, count: channels)
    var squares = sums
    var minima = [Float](repeating: .infinity, count: channels)
    var maxima = [Float](repeating: -.infinity, count: channels)
    ck_channel_statistics(
      ck_isa_current(), pool, elements.baseAddress, outer, channels, inner, &sums, &squares, &minima, &maxima)
    return (sums, squares, minima, maxima)
  }
}
