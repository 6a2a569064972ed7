import Glibc

/// The discrete Fourier transform of any length, by factors of the length. Formed in double precision.
struct FourierTransform {
  let count: Int
  private let roots: [(cos: Double, sin: Double)]

  /// `inverse` turns the other way and divides by the length.
  let isInverse: Bool

  init(count: Int, isInverse: Bool) {
    self.count = count
    self.isInverse = isInverse
    let sign = isInverse ? 1.0 : -1.0
    roots = (0..<count).map { index in
      let angle = 2 * Double.pi * Double(index) / Double(count)
      return (cos(angle), sign * sin(angle))
    }
  }

  func callAsFunction(_ real: [Double], _ imaginary: [Double]) -> (real: [Double], imaginary: [Double]) {
    guard count > 0 else { return ([], []) }
    var (re, im) = transform(real, imaginary, start: 0, step: 1, count: count)
    if isInverse {
      for index in re.indices {
        re[index] /= Double(count)
        im[index] /= Double(count)
      }
    }
    return (re, im)
  }

  /// The transform of `count` elements, `step` apart.
  private func transform(
    _ real: [Double], _ imaginary: [Double], start: Int, step: Int, count n: Int
  ) -> (real: [Double], imaginary: [Double]) {
    if n == 1 { return ([real[start]], [imaginary[start]]) }
    let radix = Self.smallestFactor(n)
    let part = n / radix
    let parts = (0..<radix).map { transform(real, imaginary, start: start + $0 * step, step: step * radix, count: part) }
    var re = [Double](repeating: 0, count: n)
    var im = re
    for k in 0..<n {
      var sum = (re: 0.0, im: 0.0)
      for r in 0..<radix {
        let root = roots[(k * r % n) * step]
        let (a, b) = (parts[r].real[k % part], parts[r].imaginary[k % part])
        sum.re += a * root.cos - b * root.sin
        sum.im += a * root.sin + b * root.cos
      }
      (re[k], im[k]) = sum
    }
    return (re, im)
  }

  private static func smallestFactor(_ n: Int) -> Int {
    var factor = 2
    while factor * factor <= n {
      if n % factor == 0 { return factor }
      factor += 1
    }
    return n
  }
}
