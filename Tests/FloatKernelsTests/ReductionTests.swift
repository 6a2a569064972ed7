import FloatKernels
import Glibc
import Testing

@Suite struct ReductionTests {
  private func step(_ function: ReduceFunction, _ acc: Float, _ x: Float) -> Float {
    switch function {
    case .sum, .mean: acc + x
    case .sumOfSquares: fmaf(x, x, acc)
    case .sumOfMagnitudes: acc + abs(x)
    case .max: x > acc || x.isNaN ? x : acc
    case .min: x < acc || x.isNaN ? x : acc
    case .product: acc * x
    }
  }

  /// The definition: 32 lanes along contiguous elements, folded by halves.
  private func reduced(_ function: ReduceFunction, _ x: [Float], lanes count: Int = 32) -> Float {
    let start: Float =
      switch function {
      case .max: -.infinity
      case .min: .infinity
      case .product: 1
      default: 0
      }
    var lanes = [Float](repeating: start, count: count)
    for (i, v) in x.enumerated() { lanes[i % count] = step(function, lanes[i % count], v) }
    var half = count / 2
    while half > 0 {
      for i in 0..<half {
        switch function {
        case .max, .min, .product: lanes[i] = step(function, lanes[i], lanes[i + half])
        default: lanes[i] += lanes[i + half]
        }
      }
      half /= 2
    }
    return function == .mean ? lanes[0] / Float(x.count) : lanes[0]
  }

  @Test func reductions() throws {
    var random = Random(60)
    for (outer, n, inner) in [
      (3, 0, 1), (2, 1, 1), (4, 31, 1), (5, 32, 1), (2, 33, 1), (1, 1000, 1), (300, 197, 1), (2, 3, 5), (3, 7, 16),
      (2, 40, 300), (1, 5, 33), (2, 0, 7),
    ] {
      var x = random.floats(outer * n * inner, 0.5...1.5)
      if x.count > 100 { x[50] = .nan }
      for function in ReduceFunction.allCases {
        var expected: [Float] = []
        for o in 0..<outer {
          for j in 0..<inner {
            expected.append(
              reduced(function, (0..<n).map { x[(o * n + $0) * inner + j] }, lanes: inner == 1 ? 32 : 1))
          }
        }
        for backend in backends {
          let y = try output(outer * inner) { y in
            try x.withUnsafeBufferPointer {
              try backend.reduce(function, outer: outer, count: n, inner: inner, $0, into: y)
            }
          }
          #expect(firstDifference(y, expected) == nil, "\(backend.label) \(function) \(outer) \(n) \(inner)")
        }
      }
    }
  }

  @Test func softmax() throws {
    var random = Random(61)
    for (outer, n, inner) in [(1, 1, 1), (3, 10, 1), (5, 64, 1), (2, 1000, 1), (2, 10, 5), (2, 4, 300), (100, 128, 1)] {
      let x = random.floats(outer * n * inner, -8...8)
      for logarithm in [false, true] {
        var first: [Float]?
        for backend in backends {
          let y = try output(x.count) { y in
            try x.withUnsafeBufferPointer {
              try backend.softmax(logarithm: logarithm, outer: outer, count: n, inner: inner, $0, into: y)
            }
          }
          if let first {
            #expect(firstDifference(y, first) == nil, "\(backend.label) \(outer) \(n) \(inner)")
          } else {
            first = y
          }
          var inPlace = x
          try inPlace.withUnsafeMutableBufferPointer {
            try backend.softmax(
              logarithm: logarithm, outer: outer, count: n, inner: inner, UnsafeBufferPointer($0), into: $0)
          }
          #expect(firstDifference(inPlace, y) == nil)
        }
        let y = try #require(first)
        for o in 0..<outer {
          for j in 0..<inner {
            let at = (0..<n).map { (o * n + $0) * inner + j }
            let sum = at.map { exp(Double(x[$0])) }.reduce(0, +)
            for i in at {
              let exact = logarithm ? Double(x[i]) - log(sum) : exp(Double(x[i])) / sum
              #expect(abs(Double(y[i]) - exact) <= (logarithm ? 4e-6 : 2e-6 * exact))
            }
          }
        }
      }
    }
    // A masked row keeps its zeros; a row of -inf alone is NaN.
    let masked: [Float] = [1, -.infinity, 2, -3.4e38]
    for backend in backends {
      let y = try output(4) { y in
        try masked.withUnsafeBufferPointer { try backend.softmax(outer: 1, count: 4, inner: 1, $0, into: y) }
      }
      #expect(y[1] == 0 && y[3] == 0 && abs(y[0] + y[2] - 1) < 1e-6)
    }
  }

  @Test func layerNormalization() throws {
    var random = Random(62)
    for (rows, n) in [(1, 1), (3, 7), (4, 32), (2, 33), (300, 384)] {
      let (x, scale, bias) = (random.floats(rows * n, -3...5), random.floats(n), random.floats(n))
      for (rms, hasScale, hasBias) in [
        (false, true, true), (true, true, false), (false, false, false), (true, false, true),
      ] {
        var first: [Float]?
        for backend in backends {
          var (means, inverses) = ([Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows))
          let y = try output(rows * n) { y in
            try x.withUnsafeBufferPointer { x in
              try scale.withUnsafeBufferPointer { scale in
                try bias.withUnsafeBufferPointer { bias in
                  try means.withUnsafeMutableBufferPointer { means in
                    try inverses.withUnsafeMutableBufferPointer { inverses in
                      try backend.layerNormalization(
                        rms: rms, rows: rows, count: n, epsilon: 1e-5, x, scale: hasScale ? scale : nil,
                        bias: hasBias ? bias : nil, into: y, means: means, inverses: inverses)
                    }
                  }
                }
              }
            }
          }
          if let first {
            #expect(firstDifference(y, first) == nil, "\(backend.label) \(rows) \(n)")
            continue
          }
          first = y
          for row in 0..<rows {
            let v = Array(x[(row * n)..<((row + 1) * n)])
            let mean = rms ? 0 : reduced(.mean, v)
            let d = rms ? v : v.map { $0 - mean }
            let inverse = 1 / (reduced(.sumOfSquares, d) / Float(n) + 1e-5).squareRoot()
            #expect(means[row] == mean && inverses[row] == inverse)
            for i in 0..<n {
              let s = hasScale ? scale[i] : 1
              let expected = hasBias ? fmaf(d[i] * inverse, s, bias[i]) : d[i] * inverse * s
              #expect(sameBits(y[row * n + i], expected))
            }
          }
        }
      }
    }
  }
}
