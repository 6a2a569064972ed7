import FloatKernels
import ONNXGraph
import ONNXTensor

/// Y = alpha A' B' + beta C with optional transposition; C broadcasts to the product.
///
/// Opsets 1, 6, 7, 9, 11, 13 (the `broadcast` attribute of the first two is implied by the shapes).
enum Gemm: Operator {
  struct Attributes {
    let alpha: Float
    let beta: Float
    let transA: Bool
    let transB: Bool

    init(_ node: OperatorNode) throws {
      alpha = try node.float("alpha", default: 1)
      beta = try node.float("beta", default: 1)
      transA = try node.bool("transA", default: false)
      transB = try node.bool("transB", default: false)
    }

    /// (m, n, k); an error when the shapes do not fit.
    func sizes(_ a: [Int], _ b: [Int]) throws -> (m: Int, n: Int, k: Int) {
      guard a.count == 2, b.count == 2 else { throw OperatorError("shapes \(a) and \(b); expected two matrices") }
      let (m, k) = transA ? (a[1], a[0]) : (a[0], a[1])
      let (depth, n) = transB ? (b[1], b[0]) : (b[0], b[1])
      guard k == depth else { throw OperatorError("shapes \(a) and \(b) cannot be multiplied") }
      return (m, n, k)
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return .tensors { inputs, context in
      let a = try inputs[0]
      let b = try inputs[1]
      try b.require(a.elementType, "input 1")
      let c = try inputs.optional(2)
      try c?.require(a.elementType, "input 2")
      let sizes = try attributes.sizes(a.shape, b.shape)
      if let c, try broadcastShape(c.shape, [sizes.m, sizes.n]) != [sizes.m, sizes.n] {
        throw OperatorError("input 2 of shape \(c.shape) does not broadcast to \([sizes.m, sizes.n])")
      }
      try CheckedSize.check([sizes.m, sizes.n], of: a.elementType)
      if a.elementType == .float32 { return try multiply(attributes, sizes, a, b, c, cache, context) }
      if a.elementType.isInteger { return try integer(attributes, sizes, a, b, c) }
      return try run(try a.elementType.computeType(), attributes, sizes, a, b, c)
    }
  }

  static func fuse(_ node: OperatorNode, activation: UnaryFunction) throws -> FusedKernel.Body {
    let attributes = try Attributes(node)
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return { inputs, addends, context in
      let a = try inputs[0]
      let b = try inputs[1]
      let c = try inputs.optional(2)
      guard addends.isEmpty, a.elementType == .float32, b.elementType == .float32,
        c?.elementType ?? .float32 == .float32
      else { return nil }
      let sizes = try attributes.sizes(a.shape, b.shape)
      if let c, try broadcastShape(c.shape, [sizes.m, sizes.n]) != [sizes.m, sizes.n] { return nil }
      try CheckedSize.check([sizes.m, sizes.n], of: .float32)
      return try multiply(attributes, sizes, a, b, c, cache, context, activation: activation)
    }
  }

  private static func multiply(
    _ attributes: Attributes, _ sizes: (m: Int, n: Int, k: Int), _ a: Tensor, _ b: Tensor, _ c: Tensor?,
    _ cache: PackedWeightCache?, _ context: EvaluationContext, activation: UnaryFunction = .identity
  ) throws -> Tensor {
    let backend = context.backend
    let (m, n, k) = sizes
    var added = c
    if let c, attributes.beta != 1 {
      added = try context.tensor(of: Float.self, shape: c.shape) { scaled in
        try c.withElements(Float.self) {
          try backend.apply(.affine(scale: attributes.beta, shift: 0), $0, into: scaled)
        }
      }
    }
    // C as a row, a column or a matrix.
    let form = added.map { [Int](repeating: 1, count: 2 - $0.rank) + $0.shape } ?? []
    if form == [1, 1], n != 1, let value = added?.floats?.first { added = Tensor(repeating: value, shape: [n]) }
    return try context.tensor(of: Float.self, shape: [m, n]) { y in
      guard y.count > 0 else { return }
      try a.withElements(Float.self) { left in
        try b.withElements(Float.self) { right in
          try Tensor.withFloats(added) { values in
            var epilogue = Epilogue(alpha: attributes.alpha, activation: activation)
            if form.first == 1 {
              epilogue.biasColumn = values
            } else if form.last == 1 {
              epilogue.biasRow = values
            } else {
              epilogue.residual = values
            }
            let leftView = MatrixView(
              left, rowStride: attributes.transA ? 1 : k, columnStride: attributes.transA ? m : 1)
            let rightView = MatrixView(
              right, rowStride: attributes.transB ? 1 : n, columnStride: attributes.transB ? k : 1)
            if let cache {
              let packed = try cache.weights(for: [k, n]) { try backend.packRight(k: k, n: n, rightView) }
              try backend.multiply(m: m, n: n, k: k, leftView, packed, into: y, epilogue: epilogue)
            } else {
              try backend.multiply(m: m, n: n, k: k, leftView, rightView, into: y, epilogue: epilogue)
            }
          }
        }
      }
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: Attributes, _ sizes: (m: Int, n: Int, k: Int), _ a: Tensor, _ b: Tensor, _ c: Tensor?
  ) throws -> Tensor {
    var y = product(attributes, sizes, try a.reals(T.self), try b.reals(T.self))
    let added = try c?.reals(T.self)
    let strides = c.map { broadcastStrides($0.shape, to: [sizes.m, sizes.n]) } ?? [0, 0]
    for i in 0..<sizes.m {
      for j in 0..<sizes.n {
        var value = T(attributes.alpha) * y[i * sizes.n + j]
        if let added { value += T(attributes.beta) * added[i * strides[0] + j * strides[1]] }
        y[i * sizes.n + j] = value
      }
    }
    return try Tensor(reals: y, as: a.elementType, shape: [sizes.m, sizes.n])
  }

  private static func product<T: ComputeElement>(
    _ attributes: Attributes, _ sizes: (m: Int, n: Int, k: Int), _ a: [T], _ b: [T]
  ) -> [T] {
    var y = [T](repeating: .zero, count: sizes.m * sizes.n)
    guard !y.isEmpty else { return y }
    y.withUnsafeMutableBufferPointer { y in
      a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
          multiplyMatrices(
            m: sizes.m, n: sizes.n, k: sizes.k, a: a[...], rows: attributes.transA ? (1, sizes.m) : (sizes.k, 1),
            b: b[...], columns: attributes.transB ? (1, sizes.k) : (sizes.n, 1), into: y)
        }
      }
    }
    return y
  }

  /// Integers: alpha and beta must be whole; everything wraps around.
  private static func integer(
    _ attributes: Attributes, _ sizes: (m: Int, n: Int, k: Int), _ a: Tensor, _ b: Tensor, _ c: Tensor?
  ) throws -> Tensor {
    guard let alpha = Int64(exactly: attributes.alpha), let beta = Int64(exactly: attributes.beta) else {
      throw OperatorError("alpha \(attributes.alpha) and beta \(attributes.beta) on integers")
    }
    func run<T: ComputeElement & FixedWidthInteger>(_ type: T.Type) -> Tensor {
      var y = product(attributes, sizes, a.array(T.self), b.array(T.self))
      let added = c?.array(T.self)
      let strides = c.map { broadcastStrides($0.shape, to: [sizes.m, sizes.n]) } ?? [0, 0]
      for i in 0..<sizes.m {
        for j in 0..<sizes.n {
          y[i * sizes.n + j] &*= T(truncatingIfNeeded: alpha)
          if let added {
            y[i * sizes.n + j] &+= added[i * strides[0] + j * strides[1]] &* T(truncatingIfNeeded: beta)
          }
        }
      }
      return Tensor(y, shape: [sizes.m, sizes.n])
    }
    switch a.elementType {
    case .int32: return run(Int32.self)
    case .uint32: return run(UInt32.self)
    case .int64: return run(Int64.self)
    case .uint64: return run(UInt64.self)
    default: throw OperatorError("input 0 has type \(a.elementType.name), which Gemm does not take")
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let attributes = try Attributes(node)
    guard let a = inputs.extents(0), a.count == 2, let b = inputs.extents(1), b.count == 2 else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    return [
      InferredValue(inputs.elementType(0), extents: [a[attributes.transA ? 1 : 0], b[attributes.transB ? 0 : 1]])
    ]
  }

  static var quantization: QuantizationTraits { QuantizationTraits(.weighted, weightInput: 1, biasInput: 2) }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard let a = inputs.first ?? nil, a.count == 2, let y = outputs.first ?? nil else { return 0 }
    return extent(y) &* a[node.node.int("transA") ?? 0 != 0 ? 0 : 1]
  }
}
