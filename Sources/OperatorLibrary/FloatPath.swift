import FloatKernels
import ONNXTensor
import Synchronization

extension EvaluationContext {
  /// The float32 kernels of this machine on this run's threads.
  var backend: FloatBackend { FloatBackend(pool: threads) }
}

extension Tensor {
  /// The elements of a float32 tensor that may be absent.
  static func withFloats<R>(_ tensor: Tensor?, _ body: (UnsafeBufferPointer<Float>?) throws -> R) rethrows -> R {
    guard let tensor else { return try body(nil) }
    return try tensor.withElements(Float.self) { try body($0) }
  }
}

/// Packed weights that are made at the first use with a key and kept until another key is asked for.
final class PackedWeightCache: Sendable {
  private let state = Mutex<(key: [Int], weights: PackedWeights)?>(nil)

  func weights(for key: [Int], _ pack: () throws -> PackedWeights) throws -> PackedWeights {
    if let known = state.withLock({ $0?.key == key ? $0?.weights : nil }) { return known }
    let packed = try pack()
    state.withLock { $0 = (key, packed) }
    return packed
  }
}

extension Activation {
  /// The kernel of the same function; nil where there is none.
  var function: UnaryFunction? {
    switch self {
    case .relu: .relu
    case .tanh: .tanh
    case .sigmoid: .sigmoid
    case .affine(let alpha, let beta): .affine(scale: alpha, shift: beta)
    case .leakyRelu(let alpha): .leakyRelu(alpha)
    case .thresholdedRelu(let alpha): .thresholdedRelu(alpha)
    case .hardSigmoid(let alpha, let beta): .hardSigmoid(alpha: alpha, beta: beta)
    case .elu(let alpha): .elu(alpha)
    case .softsign: .softsign
    case .softplus: .softplus
    case .clip(let low, let high): .clip(low, high)
    case .scaledTanh: nil
    }
  }

  /// Replaces every element by the function of it.
  func apply<T: ComputeReal>(to values: inout [T], _ context: EvaluationContext) throws {
    if T.self == Float.self, let function {
      try values.withUnsafeMutableBufferPointer { values in
        try values.withMemoryRebound(to: Float.self) {
          try context.backend.apply(function, UnsafeBufferPointer($0), into: $0)
        }
      }
      return
    }
    for index in values.indices { values[index] = apply(values[index]) }
  }
}

/// A matrix b [n][k] made ready for products a b' with any number of rows.
struct TransposedMatrix<T: ComputeReal> {
  let n: Int
  let k: Int
  private let values: [T]
  private let packed: PackedWeights?

  /// `elements` are n k; with a cache the packed form is kept for the next run, which does not read them again.
  init(_ elements: @autoclosure () throws -> ArraySlice<T>, n: Int, k: Int, cache: PackedWeightCache? = nil) throws {
    (self.n, self.k) = (n, k)
    guard T.self == Float.self else {
      (values, packed) = (Array(try elements()), nil)
      return
    }
    func pack() throws -> PackedWeights {
      try elements().withUnsafeBufferPointer { values in
        try values.withMemoryRebound(to: Float.self) {
          try FloatBackend(pool: nil).packRight(k: k, n: n, MatrixView($0, rowStride: 1, columnStride: max(k, 1)))
        }
      }
    }
    values = []
    packed = try cache?.weights(for: [n, k], pack) ?? pack()
  }

  /// c[m][n] = a b' for a [m][k].
  func multiply(m: Int, _ a: ArraySlice<T>, into c: inout [T], _ context: EvaluationContext) throws {
    guard let packed else {
      for i in 0..<m {
        for j in 0..<n {
          var sum: T = 0
          for p in 0..<k { T.accumulate(&sum, a[a.startIndex + i * k + p], values[j * k + p]) }
          c[i * n + j] = sum
        }
      }
      return
    }
    try a.withUnsafeBufferPointer { a in
      try a.withMemoryRebound(to: Float.self) { a in
        try c.withUnsafeMutableBufferPointer { c in
          try c.withMemoryRebound(to: Float.self) { c in
            try context.backend.multiply(m: m, n: n, k: k, MatrixView(a, rowStride: k), packed, into: c)
          }
        }
      }
    }
  }
}
