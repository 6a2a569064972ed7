/// Sums over axes. Opsets 1–13.
package enum ReduceSum: ReduceOperator {
  static var reduction: Reduction { .sum }
  static var axesInput: Int { 13 }
}

/// Means over axes. Opsets 1–18.
package enum ReduceMean: ReduceOperator {
  static var reduction: Reduction { .mean }
}

/// Maxima over axes; NaN if any element is. Opsets 1–20.
package enum ReduceMax: ReduceOperator {
  static var reduction: Reduction { .max }
}

/// Minima over axes; NaN if any element is. Opsets 1–20.
package enum ReduceMin: ReduceOperator {
  static var reduction: Reduction { .min }
}

/// Products over axes. Opsets 1–18.
package enum ReduceProd: ReduceOperator {
  static var reduction: Reduction { .product }
}

/// Sums of magnitudes. Opsets 1–18.
package enum ReduceL1: ReduceOperator {
  static var reduction: Reduction { .magnitudes }
}

/// Square roots of sums of squares. Opsets 1–18.
package enum ReduceL2: ReduceOperator {
  static var reduction: Reduction { .euclidean }
}

/// Sums of squares. Opsets 1–18.
package enum ReduceSumSquare: ReduceOperator {
  static var reduction: Reduction { .squares }
}

/// Logarithms of sums. Opsets 1–28.
package enum ReduceLogSum: ReduceOperator {
  static var reduction: Reduction { .logSum }
}

/// Logarithms of sums of exponentials, computed relative to the maximum. Opsets 1–28.
package enum ReduceLogSumExp: ReduceOperator {
  static var reduction: Reduction { .logSumExp }
}
