import FloatKernels
import ONNXGraph
import ONNXTensor

/// The matrix product of numpy's `matmul`: batches broadcast, vectors are rows on the left and columns on the right.
///
/// Opsets 1, 9, 13. Integer products wrap around.
enum MatMul: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return .tensors { inputs, context in
      let a = try inputs[0]
      let b = try inputs[1]
      try b.require(a.elementType, "input 1")
      return try multiply(a, b, cache, context)
    }
  }

  static func fuse(_ node: OperatorNode, activation: UnaryFunction) throws -> FusedKernel.Body {
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return { inputs, addends, context in
      let a = try inputs[0]
      let b = try inputs[1]
      guard a.elementType == .float32, b.elementType == .float32 else { return nil }
      let shape = try MatrixProductShape(a: a.shape, b: b.shape)
      // The kernels see a matrix of all rows; a vector on the right leaves one without columns to its shape.
      guard b.rank > 1, shape.isStackable || addends.isEmpty,
        let tail = FusedTail(bias: nil, addends, output: shape.output, biasShape: [shape.n])
      else { return nil }
      try CheckedSize.check(shape.output, of: .float32)
      return try shape.multiplyFloats(a, b, alpha: 1, cache, context, tail: tail, activation: activation)
    }
  }

  /// With a cache, `b` is the same in every call.
  static func multiply(
    _ a: Tensor, _ b: Tensor, _ cache: PackedWeightCache? = nil, _ context: EvaluationContext
  ) throws -> Tensor {
    let shape = try MatrixProductShape(a: a.shape, b: b.shape)
    try CheckedSize.check(shape.output, of: a.elementType)
    switch a.elementType {
    case .float32: return try shape.multiplyFloats(a, b, alpha: 1, cache, context)
    case .int32: return Tensor(shape.multiply(a.array(Int32.self), b.array(Int32.self)), shape: shape.output)
    case .uint32: return Tensor(shape.multiply(a.array(UInt32.self), b.array(UInt32.self)), shape: shape.output)
    case .int64: return Tensor(shape.multiply(a.array(Int64.self), b.array(Int64.self)), shape: shape.output)
    case .uint64: return Tensor(shape.multiply(a.array(UInt64.self), b.array(UInt64.self)), shape: shape.output)
    default: return try run(try a.elementType.computeType(), a, b, shape)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ a: Tensor, _ b: Tensor, _ shape: MatrixProductShape
  ) throws -> Tensor {
    try Tensor(
      reals: shape.multiply(try a.reals(T.self), try b.reals(T.self)), as: a.elementType, shape: shape.output)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(inputs.elementType(0), extents: inferExtents(inputs.extents(0), inputs.extents(1)))]
  }

  static func inferExtents(_ a: [Extent]?, _ b: [Extent]?) -> [Extent]? {
    guard let a, let b, !a.isEmpty, !b.isEmpty else { return nil }
    guard let batch = broadcastExtents(Array(a.dropLast(2)), Array(b.dropLast(2))) else { return nil }
    return batch + (a.count > 1 ? [a[a.count - 2]] : []) + (b.count > 1 ? [b[b.count - 1]] : [])
  }

  static var quantization: QuantizationTraits { QuantizationTraits(.weighted, activationInputs: .all, weightInput: 1) }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard let a = inputs.first ?? nil, let y = outputs.first ?? nil, let depth = a.last else { return 0 }
    return extent(y) &* depth
  }
}

/// The checked shapes of a batched matrix product.
struct MatrixProductShape {
  let m: Int
  let n: Int
  let k: Int
  let batch: [Int]
  let output: [Int]
  private let aBatch: [Int]
  private let bBatch: [Int]

  init(a: [Int], b: [Int]) throws {
    guard let depth = a.last, !b.isEmpty else { throw OperatorError("a matrix product of scalars") }
    let bDepth = b.count > 1 ? b[b.count - 2] : b[0]
    guard depth == bDepth else { throw OperatorError("shapes \(a) and \(b) cannot be multiplied") }
    k = depth
    m = a.count > 1 ? a[a.count - 2] : 1
    n = b.count > 1 ? b[b.count - 1] : 1
    aBatch = Array(a.dropLast(2))
    bBatch = Array(b.dropLast(2))
    batch = try broadcastShape(aBatch, bBatch)
    output = batch + (a.count > 1 ? [m] : []) + (b.count > 1 ? [n] : [])
  }

  /// Element offsets of the matrices of each product.
  var offsets: [(a: Int, b: Int)] {
    let aStrides = broadcastStrides(aBatch, to: batch)
    let bStrides = broadcastStrides(bBatch, to: batch)
    var index = [Int](repeating: 0, count: batch.count)
    return (0..<extent(batch)).map { _ in
      var (a, b) = (0, 0)
      for axis in batch.indices {
        a += index[axis] * aStrides[axis]
        b += index[axis] * bStrides[axis]
      }
      advance(&index, in: batch)
      return (a * m * k, b * k * n)
    }
  }

  /// True when all products share the right-hand matrix, so that the left-hand ones can be stacked.
  var isStackable: Bool { extent(bBatch) == 1 && extent(aBatch) == extent(batch) }

  /// The float32 product, each sum times alpha.
  func multiplyFloats(
    _ a: Tensor, _ b: Tensor, alpha: Float, _ cache: PackedWeightCache?, _ context: EvaluationContext,
    tail: FusedTail = FusedTail(), activation: UnaryFunction = .identity
  ) throws -> Tensor {
    try Tensor.withFloats(tail.bias) { bias in
      try Tensor.withFloats(tail.residual) { residual in
        try multiplyFloats(
          a, b, cache, context,
          Epilogue(alpha: alpha, biasColumn: bias, residual: residual, activation: activation))
      }
    }
  }

  private func multiplyFloats(
    _ a: Tensor, _ b: Tensor, _ cache: PackedWeightCache?, _ context: EvaluationContext, _ epilogue: Epilogue
  ) throws -> Tensor {
    let backend = context.backend
    return try context.tensor(of: Float.self, shape: output) { c in
      guard c.count > 0 else { return }
      try a.withElements(Float.self) { left in
        try b.withElements(Float.self) { right in
          let leftView = MatrixView(left, rowStride: k)
          let rightView = MatrixView(right, rowStride: n)
          guard isStackable else {
            let offsets = offsets
            return try backend.multiplyBatch(
              m: m, n: n, k: k, leftView, aOffsets: offsets.map(\.a), rightView, bOffsets: offsets.map(\.b), into: c,
              cOffsets: offsets.indices.map { $0 * m * n }, epilogue: epilogue)
          }
          let rows = extent(batch) * m
          if let cache {
            let packed = try cache.weights(for: [k, n]) { try backend.packRight(k: k, n: n, rightView) }
            try backend.multiply(m: rows, n: n, k: k, leftView, packed, into: c, epilogue: epilogue)
          } else {
            try backend.multiply(m: rows, n: n, k: k, leftView, rightView, into: c, epilogue: epilogue)
          }
        }
      }
    }
  }

  /// By definition, for types without a kernel of their own.
  func multiply<T: ComputeElement>(_ a: [T], _ b: [T]) -> [T] {
    var c = [T](repeating: .zero, count: extent(output))
    guard !c.isEmpty else { return c }
    for (number, offset) in offsets.enumerated() {
      c.withUnsafeMutableBufferPointer { c in
        a.withUnsafeBufferPointer { a in
          b.withUnsafeBufferPointer { b in
            multiplyMatrices(
              m: m, n: n, k: k, a: a[offset.a...], rows: (k, 1), b: b[offset.b...], columns: (n, 1),
              into: UnsafeMutableBufferPointer(rebasing: c[(number * m * n)...]))
          }
        }
      }
    }
    return c
  }
}

/// c[m][n] = a b by definition; (row, column) strides of a and b.
func multiplyMatrices<T: ComputeElement>(
  m: Int, n: Int, k: Int, a: Swift.Slice<UnsafeBufferPointer<T>>, rows: (Int, Int),
  b: Swift.Slice<UnsafeBufferPointer<T>>,
  columns: (Int, Int), into c: UnsafeMutableBufferPointer<T>
) {
  let a = UnsafeBufferPointer(rebasing: a)
  let b = UnsafeBufferPointer(rebasing: b)
  for i in 0..<m {
    for j in 0..<n { c[i * n + j] = .zero }
    for p in 0..<k {
      let left = a[i * rows.0 + p * rows.1]
      for j in 0..<n { T.accumulate(&c[i * n + j], left, b[p * columns.0 + j * columns.1]) }
    }
  }
}
