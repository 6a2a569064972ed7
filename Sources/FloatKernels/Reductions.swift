import CKernels

package enum ReduceFunction: Sendable, CaseIterable {
  case sum, mean, sumOfSquares, sumOfMagnitudes, max, min, product

  var operation: ck_reduce_op {
    switch self {
    case .sum: CK_REDUCE_SUM
    case .mean: CK_REDUCE_MEAN
    case .sumOfSquares: CK_REDUCE_SUM_SQUARE
    case .sumOfMagnitudes: CK_REDUCE_SUM_ABS
    case .max: CK_REDUCE_MAX
    case .min: CK_REDUCE_MIN
    case .product: CK_REDUCE_PROD
    }
  }
}

extension FloatBackend {
  /// Reduces the middle axis of x [outer][count][inner] into y [outer][inner].
  package func reduce(
    _ function: ReduceFunction, outer: Int, count: Int, inner: Int, _ x: UnsafeBufferPointer<Float>,
    into y: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    try require("reduction", "input", has: x.count, atLeast: elementCount("reduction", outer, count, inner))
    try require("reduction", "output", has: y.count, atLeast: elementCount("reduction", outer, inner))
    kernels.pointee.reduce(threads, function.operation, outer, count, inner, x.baseAddress, y.baseAddress)
  }

  /// Softmax, or its logarithm, over the middle axis of x [outer][count][inner].
  package func softmax(
    logarithm: Bool = false, outer: Int, count: Int, inner: Int, _ x: UnsafeBufferPointer<Float>,
    into y: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    let elements = try elementCount("softmax", outer, count, inner)
    try require("softmax", "input", has: x.count, atLeast: elements)
    try require("softmax", "output", has: y.count, atLeast: elements)
    kernels.pointee.softmax(threads, logarithm ? 1 : 0, outer, count, inner, x.baseAddress, y.baseAddress)
  }

  /// Normalizes rows of `count` elements; `rms` leaves the mean where it is. `means` and `inverses` (of the deviation)
  /// take one value per row.
  package func layerNormalization(
    rms: Bool = false, rows: Int, count: Int, epsilon: Float, _ x: UnsafeBufferPointer<Float>,
    scale: UnsafeBufferPointer<Float>?, bias: UnsafeBufferPointer<Float>?, into y: UnsafeMutableBufferPointer<Float>,
    means: UnsafeMutableBufferPointer<Float>? = nil, inverses: UnsafeMutableBufferPointer<Float>? = nil
  ) throws(KernelError) {
    let name = "layer normalization"
    let elements = try elementCount(name, rows, count)
    try require(name, "input", has: x.count, atLeast: elements)
    try require(name, "output", has: y.count, atLeast: elements)
    if let scale { try require(name, "scale", has: scale.count, atLeast: count) }
    if let bias { try require(name, "bias", has: bias.count, atLeast: count) }
    if let means { try require(name, "means", has: means.count, atLeast: rows) }
    if let inverses { try require(name, "inverse deviations", has: inverses.count, atLeast: rows) }
    kernels.pointee.layer_norm(
      threads, rms ? 1 : 0, rows, count, epsilon, x.baseAddress, scale?.baseAddress, bias?.baseAddress, y.baseAddress,
      means?.baseAddress, inverses?.baseAddress)
  }
}
