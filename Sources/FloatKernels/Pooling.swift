import CKernels

/// Sizes of a pooling window over one to three spatial axes; see `ck_pool_shape`.
package struct PoolingShape: Equatable, Sendable {
  /// Batch times channels.
  package var planes: Int
  package var input: [Int]
  package var kernel: [Int]
  package var strides: [Int]
  package var dilations: [Int]
  package var padBegin: [Int]
  package var padEnd: [Int]
  package var output: [Int]

  package init(
    planes: Int, input: [Int], kernel: [Int], strides: [Int], dilations: [Int], padBegin: [Int], padEnd: [Int],
    output: [Int]
  ) {
    self.planes = planes
    self.input = input
    self.kernel = kernel
    self.strides = strides
    self.dilations = dilations
    self.padBegin = padBegin
    self.padEnd = padEnd
    self.output = output
  }
}

package enum PoolingKind: Sendable {
  /// NaN if any element is.
  case max
  /// The divisor counts padding or not.
  case average(includingPadding: Bool)
  /// The p-norm, p being 1 or 2.
  case norm(p: Int)
}

extension FloatBackend {
  /// Pools each plane of x [planes][input...] into y [planes][output...].
  package func pool(
    _ kind: PoolingKind, _ shape: PoolingShape, _ x: UnsafeBufferPointer<Float>,
    into y: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    let name = "pooling"
    let operation: ck_pool_op
    switch kind {
    case .max: operation = CK_POOL_MAX
    case .average(let includingPadding): operation = includingPadding ? CK_POOL_AVERAGE_WITH_PAD : CK_POOL_AVERAGE
    case .norm(p: 1): operation = CK_POOL_LP1
    case .norm(p: 2): operation = CK_POOL_LP2
    case .norm(let p): throw KernelError(name, "norm of p = \(p)")
    }
    let rank = shape.input.count
    guard (1...3).contains(rank), shape.kernel.count == rank, shape.strides.count == rank,
      shape.dilations.count == rank, shape.padBegin.count == rank, shape.padEnd.count == rank,
      shape.output.count == rank
    else { throw KernelError(name, "one to three spatial axes of equal number are needed") }
    var inputCount = shape.planes
    var outputCount = shape.planes
    for axis in 0..<rank {
      guard shape.kernel[axis] >= 1, shape.strides[axis] >= 1, shape.dilations[axis] >= 1 else {
        throw KernelError(name, "sizes of spatial axis \(axis) make no sense")
      }
      for size in [
        shape.input[axis], shape.kernel[axis], shape.strides[axis], shape.dilations[axis], shape.output[axis],
        abs(shape.padBegin[axis]), abs(shape.padEnd[axis]),
      ] {
        guard size < 1 << 31 else { throw KernelError(name, "size \(size) of spatial axis \(axis) is too large") }
      }
      inputCount = try elementCount(name, inputCount, shape.input[axis])
      outputCount = try elementCount(name, outputCount, shape.output[axis])
    }
    try require(name, "input", has: x.count, atLeast: inputCount)
    try require(name, "output", has: y.count, atLeast: outputCount)
    var sizes = ck_pool_shape()
    sizes.planes = shape.planes
    sizes.in = axes(shape.input, 1)
    sizes.kernel = axes(shape.kernel, 1)
    sizes.stride = axes(shape.strides, 1)
    sizes.dilation = axes(shape.dilations, 1)
    sizes.pad = axes(shape.padBegin, 0)
    sizes.pad_end = axes(shape.padEnd, 0)
    sizes.out = axes(shape.output, 1)
    kernels.pointee.pool(threads, operation, &sizes, x.baseAddress, y.baseAddress)
  }
}
