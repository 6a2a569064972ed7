import FloatKernels
import Glibc
import Testing

@Suite struct ElementwiseTests {
  private func apply(_ function: UnaryFunction, _ backend: FloatBackend, _ x: [Float]) throws -> [Float] {
    try output(x.count) { y in try x.withUnsafeBufferPointer { try backend.apply(function, $0, into: y) } }
  }

  /// All magnitudes of both signs, `step` patterns apart, with the special values.
  private func grid(_ step: UInt32) -> [Float] {
    var x: [Float] = [0, -0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 1, -1]
    for pattern in stride(from: UInt32(0), to: 0x7f80_0000, by: Int(step)) {
      x.append(Float(bitPattern: pattern))
      x.append(Float(bitPattern: pattern | 0x8000_0000))
    }
    return x
  }

  /// Distance in units in the last place of the exact value.
  private func ulps(_ y: Float, _ exact: Double) -> Double {
    if exact.isNaN { return y.isNaN ? 0 : .infinity }
    let rounded = Float(exact)
    if rounded.isInfinite || rounded.isNaN { return y == rounded ? 0 : .infinity }
    if y.isNaN || y.isInfinite {
      return .infinity
    }
    return abs(Double(y) - exact) / Double(max(rounded.magnitude, .leastNormalMagnitude).ulp)
  }

  struct Exact: Sendable, CustomStringConvertible {
    var description: String
    var function: UnaryFunction
    var bound: Double
    var value: @Sendable (Double) -> Double
  }

  static let bounded: [Exact] = [
    Exact(description: "exp", function: .exp, bound: 1.1) { Glibc.exp($0) },
    Exact(description: "expm1", function: .expm1, bound: 2) { Glibc.expm1($0) },
    Exact(description: "log", function: .log, bound: 1.5) { Glibc.log($0) },
    Exact(description: "log1p", function: .log1p, bound: 2) { Glibc.log1p($0) },
    Exact(description: "tanh", function: .tanh, bound: 2) { Glibc.tanh($0) },
    Exact(description: "erf", function: .erf, bound: 2) { Glibc.erf($0) },
    Exact(description: "sigmoid", function: .sigmoid, bound: 2.5) { 1 / (1 + Glibc.exp(-$0)) },
    Exact(description: "softplus", function: .softplus, bound: 2.5) { max($0, 0) + Glibc.log1p(Glibc.exp(-abs($0))) },
    Exact(description: "sqrt", function: .sqrt, bound: 0.5) { $0.squareRoot() },
    Exact(description: "rsqrt", function: .rsqrt, bound: 1.5) { 1 / $0.squareRoot() },
    Exact(description: "reciprocal", function: .reciprocal, bound: 0.5) { 1 / $0 },
    Exact(description: "floor", function: .floor, bound: 0) { Glibc.floor($0) },
    Exact(description: "ceil", function: .ceil, bound: 0) { Glibc.ceil($0) },
    Exact(description: "round", function: .round, bound: 0) { $0.rounded(.toNearestOrEven) },
    Exact(description: "square", function: .square, bound: 0.5) { $0 * $0 },
    Exact(description: "softsign", function: .softsign, bound: 1.5) {
      abs($0) == .infinity ? .nan : $0 / (1 + abs($0))
    },
  ]

  @Test(arguments: bounded) func errorBound(exact: Exact) throws {
    let x = grid(7919)
    let backend = FloatBackend(pool: nil)
    let y = try apply(exact.function, backend, x)
    var worst = (error: 0.0, x: Float(0), y: Float(0))
    for i in x.indices {
      let error = ulps(y[i], exact.value(Double(x[i])))
      if error > worst.error { worst = (error, x[i], y[i]) }
    }
    #expect(worst.error <= exact.bound, "at \(worst.x): \(worst.y), exact \(exact.value(Double(worst.x)))")
  }

  /// Where cancellation leaves no bound in units of the result: absolute error in units of the argument.
  @Test func geluAndMish() throws {
    let backend = FloatBackend(pool: nil)
    let x = grid(7919).filter { $0.magnitude < 1e4 }
    let cases: [(UnaryFunction, (Double) -> Double)] = [
      (.gelu, { $0 / 2 * (1 + erf($0 / 2.0.squareRoot())) }),
      (.geluTanh, { $0 / 2 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }),
      (.mish, { $0 * tanh(log1p(exp($0))) }),
      (.swish(1), { $0 / (1 + exp(-$0)) }),
      (.hardSwish, { $0 * min(max($0 / 6 + 0.5, 0), 1) }),
    ]
    for (function, value) in cases {
      let y = try apply(function, backend, x)
      for i in x.indices {
        let exact = value(Double(x[i]))
        if exact.isNaN || exact.isInfinite { continue }
        let error = abs(Double(y[i]) - exact)
        #expect(error <= 2.5e-7 * Double(x[i].magnitude) + 1e-37, "\(function) of \(x[i]): \(y[i]), exact \(exact)")
        if error > 2.5e-7 * Double(x[i].magnitude) + 1e-37 { break }
      }
    }
  }

  @Test func sameBitsOnEveryInstructionSet() throws {
    let x = grid(65521)
    let functions: [UnaryFunction] = [
      .identity, .relu, .clip(-1, 2), .leakyRelu(0.3), .elu(1.5), .selu(alpha: 1.67, gamma: 1.05), .celu(0.7),
      .thresholdedRelu(0.5), .hardSigmoid(alpha: 0.2, beta: 0.5), .hardSwish, .sigmoid, .swish(1.7), .tanh, .erf, .gelu,
      .geluTanh, .exp, .expm1, .log, .log1p, .softplus, .softsign, .mish, .sqrt, .rsqrt, .reciprocal, .abs, .negate,
      .square, .floor, .ceil, .round, .sign, .affine(scale: 0.3, shift: 2),
    ]
    for function in functions {
      let expected = try apply(function, singleBackends[0], x)
      for backend in backends.dropFirst() {
        let y = try apply(function, backend, x)
        #expect(firstDifference(y, expected) == nil, "\(function.operation) on \(backend.label)")
      }
      for n in 0..<40 {
        for backend in backends {
          let y = try apply(function, backend, Array(x[..<n]))
          #expect(firstDifference(y, Array(expected[..<n])) == nil, "\(function.operation) of \(n)")
        }
      }
    }
  }

  @Test func simpleDefinitions() throws {
    let x = grid(65521)
    let cases: [(UnaryFunction, (Float) -> Float)] = [
      (.identity, { $0 }), (.relu, { 0 > $0 ? 0 : $0 }), (.leakyRelu(0.3), { $0 < 0 ? 0.3 * $0 : $0 }),
      (.thresholdedRelu(0.5), { $0 > 0.5 || $0.isNaN ? $0 : 0 }), (.abs, { abs($0) }), (.negate, { -$0 }),
      (.sign, { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 }), (.affine(scale: 0.3, shift: 2), { fmaf(0.3, $0, 2) }),
      (.clip(-1, 2), { $0.isNaN ? $0 : min(max($0, -1), 2) }),
    ]
    for (function, value) in cases {
      for backend in singleBackends {
        #expect(firstDifference(try apply(function, backend, x), x.map(value)) == nil, "\(function.operation)")
      }
    }
  }

  @Test func binaryFunctions() throws {
    var random = Random(50)
    let special: [Float] = [0, -0.0, .nan, .infinity, -.infinity, 1]
    func value(_ function: BinaryFunction, _ x: Float, _ y: Float) -> Float {
      switch function {
      case .add: x + y
      case .subtract: x - y
      case .multiply: x * y
      case .divide: x / y
      case .max: y.isNaN || x < y ? y : x
      case .min: y.isNaN || x > y ? y : x
      case .prelu: x < 0 ? y * x : x
      case .squaredDifference: (x - y) * (x - y)
      }
    }
    for function in BinaryFunction.allCases {
      for (xForm, yForm) in [
        (Broadcast.full, Broadcast.full), (.full, .row), (.full, .column), (.full, .scalar), (.row, .full),
        (.column, .full), (.scalar, .full), (.row, .column), (.scalar, .scalar),
      ] {
        for (rows, columns) in [(0, 5), (1, 1), (3, 7), (5, 16), (4, 33), (9, 100), (700, 100)] {
          func operand(_ form: Broadcast) -> [Float] {
            let count =
              switch form {
              case .full: rows * columns
              case .row: columns
              case .column: rows
              case .scalar: 1
              }
            return (0..<count).map { _ in
              random.chance(5) ? random.pick(special) : Float.random(in: -2...2, using: &random)
            }
          }
          func element(_ values: [Float], _ form: Broadcast, _ i: Int, _ j: Int) -> Float {
            switch form {
            case .full: values[i * columns + j]
            case .row: values[j]
            case .column: values[i]
            case .scalar: values[0]
            }
          }
          if rows * columns > 10000 && function != .add { continue }
          let (x, y) = (operand(xForm), operand(yForm))
          var expected: [Float] = []
          for i in 0..<rows {
            for j in 0..<columns { expected.append(value(function, element(x, xForm, i, j), element(y, yForm, i, j))) }
          }
          for backend in backends {
            let z = try output(rows * columns) { z in
              try x.withUnsafeBufferPointer { x in
                try y.withUnsafeBufferPointer { y in
                  try backend.apply(function, rows: rows, columns: columns, x, xForm, y, yForm, into: z)
                }
              }
            }
            #expect(
              firstDifference(z, expected) == nil, "\(backend.label) \(function) \(xForm) \(yForm) \(rows)x\(columns)")
          }
        }
      }
    }
  }

  @Test func scaleAndShift() throws {
    var random = Random(51)
    for (outer, channels, inner) in [(2, 3, 50), (1, 40, 1), (3, 5, 1), (2, 1, 9), (0, 4, 4)] {
      let (x, scale, shift) = (
        random.floats(outer * channels * inner), random.floats(channels), random.floats(channels)
      )
      let expected = x.indices.map { fmaf(x[$0], scale[$0 / inner % channels], shift[$0 / inner % channels]) }
      for backend in backends {
        let y = try output(x.count) { y in
          try x.withUnsafeBufferPointer { x in
            try scale.withUnsafeBufferPointer { scale in
              try shift.withUnsafeBufferPointer { shift in
                try backend.scaleShift(
                  outer: outer, channels: channels, inner: inner, x, scale: scale, shift: shift, into: y)
              }
            }
          }
        }
        #expect(firstDifference(y, expected) == nil)
      }
    }
  }
}
