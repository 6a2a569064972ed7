import ONNXTensor

#if canImport(Glibc)
  import Glibc
#endif

/// How far one tensor is from its reference, over any number of samples.
///
/// Sums are taken in double precision in element order, sample after sample, so a report does not depend on threads.
package struct ErrorMetrics: Sendable {
  package private(set) var count = 0
  package private(set) var maxAbsolute: Double = 0
  /// Elements where exactly one side is not finite, or both are but differ.
  package private(set) var nonFinite = 0
  private var signal: Double = 0
  private var noise: Double = 0
  private var dot: Double = 0
  private var other: Double = 0

  package init() {}

  /// Adds one pair of equal element count.
  package mutating func add(reference: [Float], candidate: [Float]) {
    for (left, right) in zip(reference, candidate) {
      count += 1
      guard left.isFinite, right.isFinite else {
        if left != right && !(left.isNaN && right.isNaN) { nonFinite += 1 }
        continue
      }
      let x = Double(left)
      let y = Double(right)
      let error = x - y
      signal += x * x
      noise += error * error
      dot += x * y
      other += y * y
      maxAbsolute = max(maxAbsolute, error.magnitude)
    }
  }

  /// `10 log10(Σ x² / Σ (x − y)²)` in decibels; infinite where nothing differs, −infinite where a value is not finite.
  package var sqnr: Double {
    if nonFinite > 0 { return -.infinity }
    if noise == 0 { return .infinity }
    if signal == 0 { return -.infinity }
    return 10 * log10(signal / noise)
  }

  /// `Σ x y / (|x| |y|)`; 1 where both are zero.
  package var cosine: Double {
    if nonFinite > 0 { return 0 }
    if noise == 0 { return 1 }
    if signal == 0 || other == 0 { return signal == other ? 1 : 0 }
    return dot / (signal.squareRoot() * other.squareRoot())
  }
}
