import FloatKernels
import ONNXTensor

/// A function of two elements of one type; integers wrap.
protocol ElementBinaryFunction {
  static func integer<T: FixedWidthInteger>(_ a: T, _ b: T) -> T
  static func real<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T
  /// The float32 kernel, where there is one.
  static var kernel: BinaryFunction? { get }
}

/// NumPy-style broadcast arithmetic on two tensors of one type.
///
/// float16 and bfloat16 are computed in float32 and rounded. Before opset 7 the second operand is broadcast along `axis`
/// where `broadcast` is set.
protocol BinaryArithmetic: Operator, ElementBinaryFunction {}

extension BinaryArithmetic {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let legacy = try LegacyBroadcast(node)
    return .tensors { inputs, context in
      let a = try inputs[0]
      let b = try legacy.align(inputs[1], to: a)
      return try map(a, b, context)
    }
  }

  static var kernel: BinaryFunction? { nil }

  static func map(_ a: Tensor, _ b: Tensor, _ context: EvaluationContext) throws -> Tensor {
    try requireSameType([a, b])
    switch a.elementType {
    case .float32:
      if let kernel { return try BinaryKernel.apply(kernel, a, b, context) }
      return try BinaryKernel.map(a, b, Float.self, context) { real($0, $1) }
    case .float64: return try BinaryKernel.map(a, b, Double.self, context) { real($0, $1) }
    case .float16, .bfloat16:
      let result = try map(a.widened(pool: context.pool), b.widened(pool: context.pool), context)
      return result.narrowed(to: a.elementType, pool: context.pool)
    case .int8: return try BinaryKernel.map(a, b, Int8.self, context) { integer($0, $1) }
    case .uint8: return try BinaryKernel.map(a, b, UInt8.self, context) { integer($0, $1) }
    case .int16: return try BinaryKernel.map(a, b, Int16.self, context) { integer($0, $1) }
    case .uint16: return try BinaryKernel.map(a, b, UInt16.self, context) { integer($0, $1) }
    case .int32: return try BinaryKernel.map(a, b, Int32.self, context) { integer($0, $1) }
    case .uint32: return try BinaryKernel.map(a, b, UInt32.self, context) { integer($0, $1) }
    case .int64: return try BinaryKernel.map(a, b, Int64.self, context) { integer($0, $1) }
    case .uint64: return try BinaryKernel.map(a, b, UInt64.self, context) { integer($0, $1) }
    default: throw unsupported(a.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    return node.opset < 7 ? ShapeInference.same(inputs) : try ShapeInference.broadcast(inputs)
  }

  package static var quantization: QuantizationTraits { .elementwise }
}

enum BinaryKernel {
  /// Elementwise over broadcast tensors of element type `T`.
  @inline(__always)
  static func map<T: TensorElement, R: TensorElement>(
    _ a: Tensor, _ b: Tensor, _: T.Type, _ context: EvaluationContext, _ op: (T, T) -> R
  ) throws -> Tensor {
    let loop = try BroadcastLoop([a.shape, b.shape], result: R.elementType)
    return a.withElements(T.self) { x in
      b.withElements(T.self) { y in
        Tensor(of: R.self, shape: loop.shape, pool: context.pool) { loop.map(x, y, into: $0, op) }
      }
    }
  }

  /// The float32 kernels over broadcast tensors: one call for every two merged dimensions.
  static func apply(
    _ kernel: BinaryFunction, _ a: Tensor, _ b: Tensor, _ context: EvaluationContext
  ) throws -> Tensor {
    let loop = try BroadcastLoop([a.shape, b.shape], result: .float32)
    let backend = context.floatKernels
    return try a.withElements(Float.self) { x in
      try b.withElements(Float.self) { y in
        try Tensor(of: Float.self, shape: loop.shape, pool: context.pool) { z in
          guard loop.count > 0 else { return }
          // The outermost loops in Swift, a matrix of rows and columns in the kernel.
          let columns = loop.inner
          var depth = loop.outer.count
          var rows = 1
          var (xRow, yRow) = (0, 0)
          if depth > 0 {
            depth -= 1
            rows = loop.outer[depth]
            (xRow, yRow) = (loop.outerStrides[0][depth], loop.outerStrides[1][depth])
          }
          guard let xForm = form(xRow, loop.steps[0], columns), let yForm = form(yRow, loop.steps[1], columns) else {
            return try runs(kernel, loop, backend, x, y, z)
          }
          let blocks = loop.outer[..<depth].reduce(1, &*)
          var index = [Int](repeating: 0, count: depth)
          for block in 0..<blocks {
            let (i, j) = (loop.offset(index, 0), loop.offset(index, 1))
            try backend.apply(
              kernel, rows: rows, columns: columns, UnsafeBufferPointer(rebasing: x[i...]), xForm,
              UnsafeBufferPointer(rebasing: y[j...]), yForm,
              into: UnsafeMutableBufferPointer(rebasing: z[(block * rows * columns)...]))
            for axis in (0..<depth).reversed() {
              index[axis] += 1
              if index[axis] < loop.outer[axis] { break }
              index[axis] = 0
            }
          }
        }
      }
    }
  }

  /// How the kernels name an operand with these strides; nil for strides that they do not have.
  private static func form(_ row: Int, _ step: Int, _ columns: Int) -> Broadcast? {
    switch (row, step) {
    case (0, 0): .scalar
    case (0, 1): .row
    case (1, 0): .column
    case (columns, 1): .full
    default: nil
    }
  }

  private static func runs(
    _ kernel: BinaryFunction, _ loop: BroadcastLoop, _ backend: FloatBackend, _ x: UnsafeBufferPointer<Float>,
    _ y: UnsafeBufferPointer<Float>, _ z: UnsafeMutableBufferPointer<Float>
  ) throws {
    try loop.forEachRun { out, i, j in
      try backend.apply(
        kernel, rows: 1, columns: loop.inner, UnsafeBufferPointer(rebasing: x[i...]),
        loop.steps[0] == 1 ? .full : .scalar, UnsafeBufferPointer(rebasing: y[j...]),
        loop.steps[1] == 1 ? .full : .scalar, into: UnsafeMutableBufferPointer(rebasing: z[out...]))
    }
  }
}

/// Broadcasting of opsets 1 and 6: attributes `broadcast` and `axis`.
struct LegacyBroadcast {
  private let axis: Int?
  private let isActive: Bool

  init(_ node: OperatorNode) throws {
    isActive = node.opset < 7
    axis = isActive ? try node.int("axis") : nil
  }

  /// `b` with dimensions of 1 behind it, so that its first dimension stands at `axis` of `a`.
  func align(_ b: Tensor, to a: Tensor) throws -> Tensor {
    guard isActive, let axis, b.rank < a.rank else { return b }
    let start = try ShapeArithmetic.axis(axis, rank: a.rank)
    guard start + b.rank <= a.rank else { throw OperatorError("'axis' is \(axis): the second operand does not fit") }
    return b.reshaped(b.shape + Array(repeating: 1, count: a.rank - start - b.rank))
  }
}
