import FloatKernels
import ONNXTensor

/// The arithmetic that the attention operators share, over [batch][head][position][feature].
enum AttentionCore {
  /// Heads of one operand.
  struct Heads<T: ComputeReal> {
    var batch: Int
    var heads: Int
    var length: Int
    var size: Int
    var values: [T]

    var shape: [Int] { [batch, heads, length, size] }

    /// Element offset of one head.
    func offset(_ n: Int, _ head: Int) -> Int { (n * heads + head) * length * size }

    /// From [batch, heads, length, size] or, given `heads`, [batch, length, heads * size].
    init(_ x: Tensor, heads: Int?, what: String) throws {
      values = try x.reals(T.self)
      if x.rank == 4 {
        (batch, self.heads, length, size) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        return
      }
      guard x.rank == 3, let heads, heads >= 1, x.shape[2] % heads == 0 else {
        throw OperatorError("\(what) of shape \(x.shape) does not split into \(heads ?? 0) heads")
      }
      (batch, self.heads, length, size) = (x.shape[0], heads, x.shape[1], x.shape[2] / heads)
      values = swapped(values, batch, length, heads, size)
    }

    init(batch: Int, heads: Int, length: Int, size: Int, values: [T]) {
      (self.batch, self.heads, self.length, self.size, self.values) = (batch, heads, length, size, values)
    }

    /// With those of `past` in front of each head.
    func appended(to past: Heads) throws -> Heads {
      guard past.batch == batch, past.heads == heads, past.size == size else {
        throw OperatorError("a past of shape \(past.shape) does not fit \(shape)")
      }
      var joined: [T] = []
      joined.reserveCapacity(past.values.count + values.count)
      for row in 0..<batch * heads {
        joined += past.values[(row * past.length * size)..<((row + 1) * past.length * size)]
        joined += values[(row * length * size)..<((row + 1) * length * size)]
      }
      return Heads(batch: batch, heads: heads, length: past.length + length, size: size, values: joined)
    }
  }

  /// [a][b][c][d] to [a][c][b][d].
  static func swapped<T>(_ values: [T], _ a: Int, _ b: Int, _ c: Int, _ d: Int) -> [T] {
    var result: [T] = []
    result.reserveCapacity(values.count)
    for i in 0..<a {
      for k in 0..<c {
        for j in 0..<b {
          let start = ((i * b + j) * c + k) * d
          result += values[start..<start + d]
        }
      }
    }
    return result
  }

  /// Products of equal shape: c[i] = a[i] b[i], or a[i] b[i]' when `transposed`.
  static func products<T: ComputeReal>(
    m: Int, n: Int, k: Int, _ a: [T], _ aOffsets: [Int], _ b: [T], _ bOffsets: [Int], transposed: Bool,
    _ context: EvaluationContext
  ) throws -> [T] {
    try CheckedSize.check([aOffsets.count, m, n], of: T.elementType)
    var c = [T](repeating: 0, count: aOffsets.count * m * n)
    guard !c.isEmpty else { return c }
    try a.withUnsafeBufferPointer { a in
      try b.withUnsafeBufferPointer { b in
        try c.withUnsafeMutableBufferPointer { c in
          if T.self == Float.self {
            try a.withMemoryRebound(to: Float.self) { a in
              try b.withMemoryRebound(to: Float.self) { b in
                try c.withMemoryRebound(to: Float.self) { c in
                  let right = MatrixView(b, rowStride: transposed ? 1 : n, columnStride: transposed ? k : 1)
                  try context.backend.multiplyBatch(
                    m: m, n: n, k: k, MatrixView(a, rowStride: k), aOffsets: aOffsets, right, bOffsets: bOffsets,
                    into: c, cOffsets: aOffsets.indices.map { $0 * m * n })
                }
              }
            }
            return
          }
          for number in aOffsets.indices {
            multiplyMatrices(
              m: m, n: n, k: k, a: a[aOffsets[number]...], rows: (k, 1), b: b[bOffsets[number]...],
              columns: transposed ? (1, k) : (n, 1),
              into: UnsafeMutableBufferPointer(rebasing: c[(number * m * n)..<((number + 1) * m * n)]))
          }
        }
      }
    }
    return c
  }

  /// Rounds to what a tensor of `type` holds.
  static func round<T: ComputeReal>(_ values: inout [T], to type: ElementType) {
    switch type {
    case .float16: for index in values.indices { values[index] = T(Float16(values[index])) }
    case .bfloat16: for index in values.indices { values[index] = T(BFloat16(Float(values[index])).float) }
    case .float32 where T.self == Double.self: for index in values.indices { values[index] = T(Float(values[index])) }
    default: break
    }
  }

  /// Softmax of rows of `count`, in place; a row of -inf gives `maskedRow`. `type` is what each step is rounded to.
  static func softmax<T: ComputeReal>(
    _ x: inout [T], count: Int, rounding type: ElementType, maskedRow: T = 0
  ) {
    guard count > 0 else { return }
    let isNarrow = type == .float16 || type == .bfloat16
    for row in 0..<x.count / count {
      let range = row * count..<(row + 1) * count
      var best = -T.infinity
      for index in range { best = x[index] > best || x[index].isNaN ? x[index] : best }
      if best == -.infinity {
        for index in range { x[index] = maskedRow }
        continue
      }
      var sum: T = 0
      for index in range {
        let power = T.exp(isNarrow ? rounded(x[index] - best, type) : x[index] - best)
        x[index] = isNarrow ? rounded(power, type) : power
        // numpy, and so the node suite, adds bfloat16 in bfloat16 but float16 in float32.
        sum = type == .bfloat16 ? rounded(sum + x[index], type) : sum + x[index]
      }
      if isNarrow { sum = rounded(sum, type) }
      for index in range { x[index] = isNarrow ? rounded(x[index] / sum, type) : x[index] / sum }
    }
  }

  private static func rounded<T: ComputeReal>(_ value: T, _ type: ElementType) -> T {
    type == .float16 ? T(Float16(value)) : T(BFloat16(Float(value)).float)
  }

  /// Y from [batch][head][position][size], in the rank of the query.
  static func output<T: ComputeReal>(
    _ y: [T], _ batch: Int, _ heads: Int, _ length: Int, _ size: Int, rank: Int, as type: ElementType
  ) throws -> Tensor {
    if rank == 4 { return try Tensor(reals: y, as: type, shape: [batch, heads, length, size]) }
    return try Tensor(
      reals: swapped(y, batch, heads, length, size), as: type, shape: [batch, length, heads * size])
  }
}
