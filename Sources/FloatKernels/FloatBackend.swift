import CKernels

/// The float kernels of one instruction set together with the threads that run them.
///
/// Every method checks sizes and throws `KernelError`; all tensors are dense, row-major, counted in elements. Results
/// are the same bits for every instruction set and number of threads. What each kernel computes, to the order of its
/// additions, is written in `ck_float.h`.
package struct FloatBackend: Sendable {
  nonisolated(unsafe) let kernels: UnsafePointer<ck_float_kernels>
  package let pool: ThreadPool?

  /// The kernels that fit this machine, on the calling thread alone if `pool` is nil.
  package init(pool: ThreadPool?) {
    kernels = ck_float()
    self.pool = pool
  }

  /// The kernels of one instruction set, nil if this machine does not have it.
  package init?(instructionSet: InstructionSet, pool: ThreadPool? = nil) {
    guard instructionSet.isAvailable else { return nil }
    kernels = ck_float_kernels_for(instructionSet.value)
    self.pool = pool
  }

  package var instructionSet: InstructionSet { InstructionSet(value: kernels.pointee.isa) }

  var threads: OpaquePointer? { pool?.handle }
}

/// An instruction set with kernels of its own.
package struct InstructionSet: Sendable, Equatable, CustomStringConvertible {
  let value: ck_isa

  package static let portable = InstructionSet(value: CK_ISA_PORTABLE)
  package static let avx2 = InstructionSet(value: CK_ISA_AVX2)
  package static let avxvnni = InstructionSet(value: CK_ISA_AVXVNNI)
  package static let avx512 = InstructionSet(value: CK_ISA_AVX512)
  package static let all: [InstructionSet] = [.portable, .avx2, .avxvnni, .avx512]

  /// The one that kernels use: this machine's best, unless the environment's `ONNXQ_ISA` names another.
  package static var current: InstructionSet { InstructionSet(value: ck_isa_current()) }

  package var isAvailable: Bool { ck_isa_available(value) != 0 }
  package var description: String { String(cString: ck_isa_name(value)) }

  package static func == (a: InstructionSet, b: InstructionSet) -> Bool { a.value.rawValue == b.value.rawValue }
}

/// An elementwise function with its parameters, also the activation that a product or convolution ends with.
package struct UnaryFunction: Sendable {
  package var operation: ck_unary_op
  package var a: Float
  package var b: Float

  package init(_ operation: ck_unary_op, a: Float = 0, b: Float = 0) {
    self.operation = operation
    self.a = a
    self.b = b
  }

  package static let identity = UnaryFunction(CK_IDENTITY)
  package static let relu = UnaryFunction(CK_RELU)
  package static func clip(_ low: Float, _ high: Float) -> UnaryFunction { UnaryFunction(CK_CLIP, a: low, b: high) }
  package static func leakyRelu(_ alpha: Float) -> UnaryFunction { UnaryFunction(CK_LEAKY_RELU, a: alpha) }
  package static func elu(_ alpha: Float) -> UnaryFunction { UnaryFunction(CK_ELU, a: alpha) }
  package static func selu(alpha: Float, gamma: Float) -> UnaryFunction { UnaryFunction(CK_SELU, a: alpha, b: gamma) }
  package static func celu(_ alpha: Float) -> UnaryFunction { UnaryFunction(CK_CELU, a: alpha) }
  package static func thresholdedRelu(_ alpha: Float) -> UnaryFunction { UnaryFunction(CK_THRESHOLDED, a: alpha) }
  package static func hardSigmoid(alpha: Float, beta: Float) -> UnaryFunction {
    UnaryFunction(CK_HARD_SIGMOID, a: alpha, b: beta)
  }
  package static let hardSwish = UnaryFunction(CK_HARD_SWISH)
  package static let sigmoid = UnaryFunction(CK_SIGMOID)
  package static func swish(_ alpha: Float) -> UnaryFunction { UnaryFunction(CK_SWISH, a: alpha) }
  package static let tanh = UnaryFunction(CK_TANH)
  package static let erf = UnaryFunction(CK_ERF)
  package static let gelu = UnaryFunction(CK_GELU)
  package static let geluTanh = UnaryFunction(CK_GELU_TANH)
  package static let exp = UnaryFunction(CK_EXP)
  package static let expm1 = UnaryFunction(CK_EXPM1)
  package static let log = UnaryFunction(CK_LOG)
  package static let log1p = UnaryFunction(CK_LOG1P)
  package static let softplus = UnaryFunction(CK_SOFTPLUS)
  package static let softsign = UnaryFunction(CK_SOFTSIGN)
  package static let mish = UnaryFunction(CK_MISH)
  package static let sqrt = UnaryFunction(CK_SQRT)
  package static let rsqrt = UnaryFunction(CK_RSQRT)
  package static let reciprocal = UnaryFunction(CK_RECIPROCAL)
  package static let abs = UnaryFunction(CK_ABS)
  package static let negate = UnaryFunction(CK_NEGATE)
  package static let square = UnaryFunction(CK_SQUARE)
  package static let floor = UnaryFunction(CK_FLOOR)
  package static let ceil = UnaryFunction(CK_CEIL)
  package static let round = UnaryFunction(CK_ROUND)
  package static let sign = UnaryFunction(CK_SIGN)
  package static func affine(scale: Float, shift: Float) -> UnaryFunction {
    UnaryFunction(CK_AFFINE, a: scale, b: shift)
  }
}

/// What follows each sum of a product or convolution: times alpha, plus biases, plus residual, then the activation.
package struct Epilogue {
  package var alpha: Float = 1
  /// One per row; for convolutions one per output channel.
  package var biasRow: UnsafeBufferPointer<Float>?
  /// One per column; not for convolutions.
  package var biasColumn: UnsafeBufferPointer<Float>?
  /// Laid out as the result.
  package var residual: UnsafeBufferPointer<Float>?
  package var activation = UnaryFunction.identity

  package init(
    alpha: Float = 1, biasRow: UnsafeBufferPointer<Float>? = nil, biasColumn: UnsafeBufferPointer<Float>? = nil,
    residual: UnsafeBufferPointer<Float>? = nil, activation: UnaryFunction = .identity
  ) {
    self.alpha = alpha
    self.biasRow = biasRow
    self.biasColumn = biasColumn
    self.residual = residual
    self.activation = activation
  }

  var value: ck_epilogue {
    ck_epilogue(
      alpha: alpha, bias_row: biasRow?.baseAddress, bias_col: biasColumn?.baseAddress, residual: residual?.baseAddress,
      op: activation.operation, a: activation.a, b: activation.b)
  }

  func check(_ kernel: String, rows: Int, columns: Int, result: Int) throws(KernelError) {
    if let biasRow { try require(kernel, "row bias", has: biasRow.count, atLeast: rows) }
    if let biasColumn { try require(kernel, "column bias", has: biasColumn.count, atLeast: columns) }
    if let residual { try require(kernel, "residual", has: residual.count, atLeast: result) }
  }
}

/// Weights in the order that one instruction set's kernel reads.
package final class PackedWeights: Sendable {
  package let count: Int
  let instructionSet: InstructionSet
  /// What was packed; a kernel refuses weights of other sizes.
  let key: [Int]
  nonisolated(unsafe) let floats: UnsafeMutablePointer<Float>

  init(count: Int, instructionSet: InstructionSet, key: [Int]) {
    self.count = count
    self.instructionSet = instructionSet
    self.key = key
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    floats = memory.bindMemory(to: Float.self, capacity: max(count, 1))
  }

  deinit { UnsafeMutableRawPointer(floats).deallocate() }

  func check(_ kernel: String, _ backend: FloatBackend, key: [Int]) throws(KernelError) {
    guard instructionSet == backend.instructionSet else {
      throw KernelError(kernel, "weights packed for \(instructionSet), not for \(backend.instructionSet)")
    }
    guard self.key == key else { throw KernelError(kernel, "weights packed as \(self.key), used as \(key)") }
  }
}
