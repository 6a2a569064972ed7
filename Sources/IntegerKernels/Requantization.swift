import CKernels

/// m0 · 2^-shift.
package typealias IntegerMultiplier = ck_int_multiplier

/// How an output element is made: clamp(zero + rounded product, lo, hi).
package typealias IntegerOutput = ck_int_output

/// Which of the two requantization rules holds.
package enum IntegerRounding: String, Sendable {
  /// One rounding, half to even, of the exact 64-bit product.
  case fixed
  /// onnxruntime's: the accumulator and the multiplier as binary32, their product rounded, then rounded to an integer.
  case binary32 = "float32"

  var code: ck_int_rounding { self == .fixed ? CK_INT_ROUND_FIXED : CK_INT_ROUND_FLOAT32 }
}

/// Accumulators to biased 8-bit values, one multiplier for each of `channels`, or one for all.
package func requantize(
  _ accumulators: UnsafePointer<Int32>, rows: Int, channels: Int, by multipliers: [IntegerMultiplier],
  output: IntegerOutput, into y: UnsafeMutablePointer<UInt8>
) {
  ck_int_requantize(
    accumulators, Int64(rows), Int64(channels), multipliers, multipliers.count > 1 ? 1 : 0, output, CK_INT_U8, y,
    ck_isa_current())
}

/// Accumulators plus a rescaled second operand, rounded once.
package func requantizeSum(
  _ accumulators: UnsafePointer<Int32>, rows: Int, channels: Int, by multipliers: [IntegerMultiplier],
  residual: UnsafePointer<UInt8>, residualZero: Int32, residualMultiplier: IntegerMultiplier, output: IntegerOutput,
  into y: UnsafeMutablePointer<UInt8>
) {
  ck_int_requantize_add(
    accumulators, Int64(rows), Int64(channels), multipliers, multipliers.count > 1 ? 1 : 0, residual, residualZero,
    residualMultiplier, output, y, ck_isa_current())
}

/// table[i] = clamp(zero + round((i - inputZero) m)).
package func rescaleTable(inputZero: Int32, by multiplier: IntegerMultiplier, output: IntegerOutput) -> [UInt8] {
  var table = [UInt8](repeating: 0, count: 256)
  ck_int_rescale_table(inputZero, multiplier, output, &table)
  return table
}
