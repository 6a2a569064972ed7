import FloatKernels
import Glibc
import Testing

@Suite struct MatrixMultiplyTests {
  /// Sums in sequence over k, by the definition.
  private func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: (Int, Int) -> Float, _ b: (Int, Int) -> Float, finish: (Int, Int, Float) -> Float
  ) -> [Float] {
    var c = [Float](repeating: 0, count: m * n)
    for i in 0..<m {
      for j in 0..<n {
        var sum: Float = 0
        for p in 0..<k { sum = fmaf(a(i, p), b(p, j), sum) }
        c[i * n + j] = finish(i, j, sum)
      }
    }
    return c
  }

  @Test func randomShapes() throws {
    var random = Random(1)
    for round in 0..<120 {
      let m = random.pick(round % 3 == 0 ? 0...4 : 0...40)
      let n = random.pick(round % 2 == 0 ? 0...140 : 0...70)
      let k = random.pick([0, 1, 2, 3, 7, 16, 33, 64, 100, random.pick(0...900)])
      let (aTransposed, bTransposed) = (random.chance(30), random.chance(30))
      let a = random.floats(m * k)
      let b = random.floats(k * n)
      let rowBias = random.chance(40) ? random.floats(m) : nil
      let columnBias = random.chance(40) ? random.floats(n) : nil
      let residual = random.chance(30) ? random.floats(m * n) : nil
      let alpha: Float = random.chance(30) ? 0.37 : 1
      let activation = random.pick(referenceActivations)
      let expected = product(
        m, n, k, { aTransposed ? a[$1 * m + $0] : a[$0 * k + $1] }, { bTransposed ? b[$1 * k + $0] : b[$0 * n + $1] },
        finish: { i, j, sum in
          var v = alpha * sum
          if let rowBias { v += rowBias[i] }
          if let columnBias { v += columnBias[j] }
          if let residual { v += residual[i * n + j] }
          return reference(activation, v) ?? v
        })
      let view = (a: (aTransposed ? 1 : k, aTransposed ? m : 1), b: (bTransposed ? 1 : n, bTransposed ? k : 1))
      for backend in backends {
        for packs in [false, true] {
          let c = try output(m * n) { c in
            try a.withUnsafeBufferPointer { a in
              try b.withUnsafeBufferPointer { b in
                try (rowBias ?? []).withUnsafeBufferPointer { rowBuffer in
                  try (columnBias ?? []).withUnsafeBufferPointer { columnBuffer in
                    try (residual ?? []).withUnsafeBufferPointer { residualBuffer in
                      let epilogue = Epilogue(
                        alpha: alpha, biasRow: rowBias == nil ? nil : rowBuffer,
                        biasColumn: columnBias == nil ? nil : columnBuffer,
                        residual: residual == nil ? nil : residualBuffer, activation: activation)
                      let left = MatrixView(a, rowStride: view.a.0, columnStride: view.a.1)
                      let right = MatrixView(b, rowStride: view.b.0, columnStride: view.b.1)
                      if packs {
                        let packed = try backend.packRight(k: k, n: n, right)
                        try backend.multiply(m: m, n: n, k: k, left, packed, into: c, epilogue: epilogue)
                      } else {
                        try backend.multiply(m: m, n: n, k: k, left, right, into: c, epilogue: epilogue)
                      }
                    }
                  }
                }
              }
            }
          }
          let difference = firstDifference(c, expected)
          #expect(
            difference == nil,
            "\(backend.label) packed \(packs): \(m)x\(n)x\(k) transposed \(aTransposed) \(bTransposed)")
          if difference != nil { return }
        }
      }
    }
  }

  @Test func functionsInTheEpilogueAreThoseOfElementwise() throws {
    var random = Random(2)
    let (m, n, k) = (13, 45, 20)
    let (a, b) = (random.floats(m * k), random.floats(k * n))
    for function in [UnaryFunction.gelu, .sigmoid, .tanh, .hardSwish, .swish(1)] {
      for backend in backends {
        try a.withUnsafeBufferPointer { a in
          try b.withUnsafeBufferPointer { b in
            let left = MatrixView(a, rowStride: k)
            let right = MatrixView(b, rowStride: n)
            let plain = try output(m * n) { try backend.multiply(m: m, n: n, k: k, left, right, into: $0) }
            let expected = try output(m * n) { y in
              try plain.withUnsafeBufferPointer { try backend.apply(function, $0, into: y) }
            }
            let fused = try output(m * n) {
              try backend.multiply(
                m: m, n: n, k: k, left, right, into: $0, epilogue: Epilogue(activation: function))
            }
            #expect(firstDifference(fused, expected) == nil)
          }
        }
      }
    }
  }

  @Test func batches() throws {
    var random = Random(3)
    for (m, n, k) in [(1, 70, 33), (5, 17, 64), (40, 40, 12), (2, 300, 9)] {
      let count = 6
      let (a, b) = (random.floats(count * m * k), random.floats(3 * k * n))
      for backend in backends {
        let c = try output(count * m * n) { c in
          try a.withUnsafeBufferPointer { a in
            try b.withUnsafeBufferPointer { b in
              try backend.multiplyBatch(
                m: m, n: n, k: k, MatrixView(a, rowStride: k), aOffsets: (0..<count).map { $0 * m * k },
                MatrixView(b, rowStride: n), bOffsets: (0..<count).map { $0 % 3 * k * n }, into: c,
                cOffsets: (0..<count).map { $0 * m * n })
            }
          }
        }
        for i in 0..<count {
          let expected = product(
            m, n, k, { a[i * m * k + $0 * k + $1] }, { b[i % 3 * k * n + $0 * n + $1] }, finish: { $2 })
          #expect(firstDifference(Array(c[(i * m * n)..<((i + 1) * m * n)]), expected) == nil, "\(backend.label)")
        }
      }
    }
  }

  @Test func wrongSizesAreErrors() throws {
    let backend = FloatBackend(pool: nil)
    let ten = [Float](repeating: 0, count: 10)
    var c = ten
    ten.withUnsafeBufferPointer { ten in
      c.withUnsafeMutableBufferPointer { c in
        let view = MatrixView(ten, rowStride: 5)
        #expect(throws: KernelError.self) { try backend.multiply(m: 3, n: 5, k: 5, view, view, into: c) }
        #expect(throws: KernelError.self) { try backend.multiply(m: -1, n: 5, k: 2, view, view, into: c) }
        #expect(throws: KernelError.self) {
          try backend.multiply(m: Int.max, n: Int.max, k: 2, view, view, into: c)
        }
        #expect(throws: KernelError.self) {
          try backend.multiplyBatch(
            m: 1, n: 5, k: 1, view, aOffsets: [10], view, bOffsets: [0], into: c, cOffsets: [0])
        }
      }
    }
  }
}
