import Glibc

/// The discrete Fourier transform of any length, one pass for each prime factor, twos first.
///
/// The order of additions is that of the usual symmetric butterflies, so float32 results carry the same rounding as
/// other libraries' of this form.
struct FourierTransform<T: ComputeReal> {
  struct Complex {
    var re: T
    var im: T

    static func + (a: Complex, b: Complex) -> Complex { Complex(re: a.re + b.re, im: a.im + b.im) }
    static func - (a: Complex, b: Complex) -> Complex { Complex(re: a.re - b.re, im: a.im - b.im) }
    static func * (a: Complex, b: Complex) -> Complex {
      Complex(re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re)
    }
  }

  let count: Int
  /// Turns the other way and divides by the length.
  let isInverse: Bool
  private let factors: [Int]
  private let roots: [Complex]

  init(count: Int, isInverse: Bool) {
    self.count = count
    self.isInverse = isInverse
    let sign = isInverse ? 1.0 : -1.0
    roots = (0..<count).map { index in
      let angle = 2 * Double.pi * Double(index) / Double(count)
      return Complex(re: T(cos(angle)), im: T(sign * sin(angle)))
    }
    var factors: [Int] = []
    var rest = count
    var factor = 2
    while factor * factor <= rest {
      while rest > 1 && rest % factor == 0 {
        factors.append(factor)
        rest /= factor
      }
      factor += factor == 2 ? 1 : 2
    }
    if rest > 1 { factors.append(rest) }
    self.factors = factors
  }

  func callAsFunction(_ x: [Complex]) -> [Complex] {
    var source = x
    var target = x
    var done = 1
    for radix in factors {
      pass(source, &target, radix: radix, done: done)
      swap(&source, &target)
      done *= radix
    }
    if isInverse {
      let factor = 1 / T(count)
      for index in source.indices {
        source[index].re *= factor
        source[index].im *= factor
      }
    }
    return source
  }

  /// One pass: `done` is the product of the factors before this one.
  private func pass(_ x: [Complex], _ y: inout [Complex], radix: Int, done: Int) {
    let inner = count / (done * radix)
    // The root of number j of `radix`, and the twiddle of number i of this pass.
    func root(_ j: Int) -> Complex { roots[j % radix * (count / radix)] }
    var inputs = [Complex](repeating: Complex(re: 0, im: 0), count: radix)
    let half = (radix - 1) / 2
    for k in 0..<done {
      for i in 0..<inner {
        for j in 0..<radix { inputs[j] = x[i + inner * (j + radix * k)] }
        func store(_ u: Int, _ value: Complex) {
          y[i + inner * (k + done * u)] = i == 0 || u == 0 ? value : value * roots[u * i * done]
        }
        if radix == 2 {
          store(0, inputs[0] + inputs[1])
          store(1, inputs[0] - inputs[1])
          continue
        }
        let sums = (1...half).map { inputs[$0] + inputs[radix - $0] }
        let differences = (1...half).map { inputs[$0] - inputs[radix - $0] }
        store(0, sums.reduce(inputs[0], +))
        for u in 1...half {
          var even = inputs[0]
          var odd = Complex(re: 0, im: 0)
          for j in 1...half {
            let w = root(u * j)
            even.re += w.re * sums[j - 1].re
            even.im += w.re * sums[j - 1].im
            odd.re -= w.im * differences[j - 1].im
            odd.im += w.im * differences[j - 1].re
          }
          store(u, even + odd)
          store(radix - u, even - odd)
        }
      }
    }
  }
}
