/// The natural logarithm of a positive finite number, by additions, multiplications and divisions alone, so that its bits
/// do not depend on the C library of the machine. Within a few units in the last place.
package func portableLogarithm(_ x: Double) -> Double {
  var mantissa = x.significand
  var exponent = Double(x.exponent)
  if mantissa > 1.414_213_562_373_095_1 {
    mantissa *= 0.5
    exponent += 1
  }
  // ln m = 2 artanh t, t = (m - 1) / (m + 1), |t| < 0.172.
  let t = (mantissa - 1) / (mantissa + 1)
  let square = t * t
  var series = 1.0 / 25
  var odd = 23.0
  while odd >= 1 {
    series = series * square + 1 / odd
    odd -= 2
  }
  return exponent * 0.693_147_180_559_945_3 + 2 * t * series
}

/// 10 log10(signal / noise): +inf without noise, -inf without signal.
package func decibels(signal: Double, noise: Double) -> Double {
  if noise <= 0 { return .infinity }
  if signal <= 0 { return -.infinity }
  return 10 * (portableLogarithm(signal) - portableLogarithm(noise)) / 2.302_585_092_994_046
}
