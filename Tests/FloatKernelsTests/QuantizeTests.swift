import FloatKernels
import Testing

@Suite struct QuantizeTests {
  private func quantized<E: QuantizedElement>(_ x: Float, _ scale: Float, _ zero: Int32, _: E.Type) -> E {
    let quotient = x / scale
    if quotient.isNaN { return E(clamping: zero) }
    let rounded = Double(quotient).rounded(.toNearestOrEven) + Double(zero)
    return rounded <= Double(E.min) ? E.min : rounded >= Double(E.max) ? E.max : E(rounded)
  }

  private func check<E: QuantizedElement>(_ type: E.Type) throws {
    var random = Random(70)
    let special: [Float] = [
      0, -0.0, .nan, .infinity, -.infinity, 1e30, -1e30, 0.5, 1.5, 2.5, -0.5, -1.5, 300, -300, 70000,
    ]
    for (outer, channels, inner) in [
      (1, 1, 0), (1, 1, 1), (1, 1, 1000), (2, 3, 50), (3, 7, 1), (1, 40, 1), (2, 1, 33), (1, 3, 20000),
    ] {
      let count = outer * channels * inner
      let x = (0..<count).map { _ in
        random.chance(20) ? random.pick(special) : Float.random(in: -200...200, using: &random)
      }
      let scale = (0..<channels).map { _ in random.chance(50) ? Float(0.5) : Float.random(in: 0.01...2, using: &random)
      }
      let zero = (0..<channels).map { _ in Int32(E(truncatingIfNeeded: random.pick(-128...255))) }
      for zeros in [true, false] {
        let expected = x.indices.map { i in
          let c = i / max(inner, 1) % channels
          return quantized(x[i], scale[c], zeros ? zero[c] : 0, E.self)
        }
        let back = expected.indices.map { i in
          let c = i / max(inner, 1) % channels
          return Float(Int32(expected[i]) - (zeros ? zero[c] : 0)) * scale[c]
        }
        for backend in backends {
          var q = [E](repeating: 77, count: count)
          var y = [Float](repeating: .nan, count: count)
          var fake = y
          try x.withUnsafeBufferPointer { x in
            try scale.withUnsafeBufferPointer { scale in
              try zero.withUnsafeBufferPointer { zero in
                let zero = zeros ? zero : nil
                try q.withUnsafeMutableBufferPointer {
                  try backend.quantize(
                    outer: outer, channels: channels, inner: inner, x, scale: scale, zeroPoint: zero, into: $0)
                }
                try q.withUnsafeBufferPointer { q in
                  try y.withUnsafeMutableBufferPointer {
                    try backend.dequantize(
                      outer: outer, channels: channels, inner: inner, q, scale: scale, zeroPoint: zero, into: $0)
                  }
                }
                try fake.withUnsafeMutableBufferPointer {
                  try backend.fakeQuantize(
                    E.self, outer: outer, channels: channels, inner: inner, x, scale: scale, zeroPoint: zero, into: $0)
                }
              }
            }
          }
          #expect(q == expected, "\(backend.label) \(E.self) \(outer) \(channels) \(inner)")
          #expect(firstDifference(y, back) == nil, "\(backend.label) \(E.self)")
          #expect(firstDifference(fake, back) == nil, "\(backend.label) \(E.self)")
        }
      }
    }
  }

  @Test func int8() throws { try check(Int8.self) }
  @Test func uint8() throws { try check(UInt8.self) }
  @Test func int16() throws { try check(Int16.self) }
  @Test func uint16() throws { try check(UInt16.self) }
}
