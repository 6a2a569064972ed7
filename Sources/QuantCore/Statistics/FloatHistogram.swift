/// Counts of finite non-zero float32 values by the top 17 bits of their pattern: sign, exponent, 8 bits of mantissa.
///
/// The bin of a value depends on the value alone, so counts merge exactly in any order. Values below 2^-134, whose top
/// bits are those of a zero, are in no bin.
package struct FloatHistogram: Sendable, Equatable {
  package static let binCount = 1 << 17
  package static let binsPerPage = 256
  package static let pageCount = 512

  /// The bins of one sign and exponent.
  package struct Page: Sendable, Equatable {
    /// The top 9 bits of the patterns.
    package let key: UInt16
    package internal(set) var counts: [UInt64]

    package init(key: UInt16, counts: [UInt64]) {
      self.key = key
      self.counts = counts
    }
  }

  /// Pages with a count above zero, by ascending key.
  package private(set) var pages: [Page] = []

  package init() {}

  /// From counters for all `binCount` bins; those of zeros, infinities and NaN are left out.
  package init(dense bins: UnsafePointer<UInt64>) {
    for key in 0..<Self.pageCount where Self.isFinite(key) {
      let start = bins + key * Self.binsPerPage
      var counts = [UInt64](UnsafeBufferPointer(start: start, count: Self.binsPerPage))
      if key & 0xFF == 0 { counts[0] = 0 }
      if counts.contains(where: { $0 != 0 }) { pages.append(Page(key: UInt16(key), counts: counts)) }
    }
  }

  /// From stored pages; nil unless keys ascend, are of finite values, and every page has 256 counts, not all zero.
  package init?(pages: [Page]) {
    var previous = -1
    for page in pages {
      guard Int(page.key) > previous, Int(page.key) < Self.pageCount, Self.isFinite(Int(page.key)),
        page.counts.count == Self.binsPerPage, page.counts.contains(where: { $0 != 0 }),
        page.key & 0xFF != 0 || page.counts[0] == 0
      else { return nil }
      previous = Int(page.key)
    }
    self.pages = pages
  }

  private static func isFinite(_ key: Int) -> Bool { key & 0xFF != 0xFF }

  /// Adds one value; the fast way for many is `TensorObserver`.
  package mutating func add(_ value: Float) {
    let bin = value.bitPattern >> 15
    guard value.isFinite, bin & 0xFFFF != 0 else { return }
    let key = UInt16(bin >> 8)
    let index = pages.firstIndex { $0.key >= key } ?? pages.count
    if index == pages.count || pages[index].key != key {
      pages.insert(Page(key: key, counts: [UInt64](repeating: 0, count: Self.binsPerPage)), at: index)
    }
    pages[index].counts[Int(bin & 0xFF)] += 1
  }

  /// Whether values between `minimum` and `maximum`, both among them, can give these counts.
  package func agrees(minimum: Float, maximum: Float) -> Bool {
    func outermost(_ isNegative: Bool) -> UInt32? {
      guard let page = pages.last(where: { ($0.key >= 256) == isNegative }),
        let index = page.counts.lastIndex(where: { $0 != 0 })
      else { return nil }
      return UInt32(page.key & 0xFF) << 8 | UInt32(index)
    }
    func bin(_ magnitude: Float) -> UInt32? {
      let bin = magnitude > 0 ? magnitude.bitPattern >> 15 : 0
      return bin == 0 ? nil : bin
    }
    return outermost(false) == bin(maximum) && outermost(true) == bin(-minimum)
  }

  /// The sum of all counts; nil on overflow, which only a damaged file can bring about.
  package var total: UInt64? {
    var sum: UInt64 = 0
    for page in pages {
      for count in page.counts {
        let (next, overflow) = sum.addingReportingOverflow(count)
        if overflow { return nil }
        sum = next
      }
    }
    return sum
  }

  /// Adds the counts of `other`; false on overflow, and then nothing is changed.
  package mutating func merge(_ other: FloatHistogram) -> Bool {
    var merged: [Page] = []
    var (left, right) = (0, 0)
    while left < pages.count || right < other.pages.count {
      if right == other.pages.count || (left < pages.count && pages[left].key < other.pages[right].key) {
        merged.append(pages[left])
        left += 1
      } else if left == pages.count || other.pages[right].key < pages[left].key {
        merged.append(other.pages[right])
        right += 1
      } else {
        var page = pages[left]
        for index in 0..<Self.binsPerPage {
          let (sum, overflow) = page.counts[index].addingReportingOverflow(other.pages[right].counts[index])
          if overflow { return false }
          page.counts[index] = sum
        }
        merged.append(page)
        left += 1
        right += 1
      }
    }
    pages = merged
    return true
  }

  /// The magnitudes of the bin `index` of page `key`: from `lower` (in the bin) to `upper` (not in it).
  static func magnitudes(key: Int, index: Int) -> (lower: Double, upper: Double) {
    let pattern = UInt32((key & 0xFF) << 8 | index)
    let lower = Double(Float(bitPattern: pattern << 15))
    let next = (pattern + 1) << 15
    let upper =
      next >= 0x7F80_0000 ? Double(sign: .plus, exponent: 128, significand: 1) : Double(Float(bitPattern: next))
    return (lower, upper)
  }
}
