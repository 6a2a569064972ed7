import CKernels

/// Sizes of a convolution over one to three spatial axes; see `ck_conv_shape`.
package struct ConvolutionShape: Equatable, Sendable {
  package var batch: Int
  package var groups: Int
  package var inChannels: Int
  package var outChannels: Int
  /// Input, kernel, stride, dilation, begin padding and output size of each spatial axis, outermost first.
  package var input: [Int]
  package var kernel: [Int]
  package var strides: [Int]
  package var dilations: [Int]
  package var padBegin: [Int]
  package var output: [Int]

  package init(
    batch: Int, groups: Int, inChannels: Int, outChannels: Int, input: [Int], kernel: [Int], strides: [Int],
    dilations: [Int], padBegin: [Int], output: [Int]
  ) {
    self.batch = batch
    self.groups = groups
    self.inChannels = inChannels
    self.outChannels = outChannels
    self.input = input
    self.kernel = kernel
    self.strides = strides
    self.dilations = dilations
    self.padBegin = padBegin
    self.output = output
  }

  /// What packed weights depend on.
  var key: [Int] { [groups, inChannels, outChannels] + kernel + strides + dilations + padBegin }

  /// Bounds that keep every index of the kernels far from overflow.
  private static let limit = 1 << 40

  func checked(_ name: String) throws(KernelError) -> ck_conv_shape {
    let rank = input.count
    guard (1...3).contains(rank), kernel.count == rank, strides.count == rank, dilations.count == rank,
      padBegin.count == rank, output.count == rank
    else { throw KernelError(name, "one to three spatial axes of equal number are needed") }
    guard batch >= 0, groups >= 1, inChannels >= 0, outChannels >= 0, inChannels % groups == 0,
      outChannels % groups == 0
    else {
      throw KernelError(
        name, "\(inChannels) input and \(outChannels) output channels do not split into \(groups) groups")
    }
    for axis in 0..<rank {
      guard input[axis] >= 0, kernel[axis] >= 1, strides[axis] >= 1, dilations[axis] >= 1, output[axis] >= 0 else {
        throw KernelError(name, "sizes of spatial axis \(axis) make no sense")
      }
      for size in [input[axis], kernel[axis], strides[axis], dilations[axis], output[axis], abs(padBegin[axis])] {
        guard size < 1 << 31 else { throw KernelError(name, "size \(size) of spatial axis \(axis) is too large") }
      }
    }
    var shape = ck_conv_shape()
    shape.batch = batch
    shape.groups = groups
    shape.in_channels = inChannels
    shape.out_channels = outChannels
    shape.in = axes(input, 1)
    shape.kernel = axes(kernel, 1)
    shape.stride = axes(strides, 1)
    shape.dilation = axes(dilations, 1)
    shape.pad = axes(padBegin, 0)
    shape.out = axes(output, 1)
    return shape
  }

  func counts(
    _ name: String, transposed: Bool
  ) throws(KernelError) -> (input: Int, weights: Int, output: Int) {
    var inputCount = try elementCount(name, batch, inChannels)
    var outputCount = try elementCount(name, batch, outChannels)
    var weightCount =
      transposed
      ? try elementCount(name, inChannels, outChannels / groups)
      : try elementCount(name, outChannels, inChannels / groups)
    for axis in input.indices {
      inputCount = try elementCount(name, inputCount, input[axis])
      outputCount = try elementCount(name, outputCount, output[axis])
      weightCount = try elementCount(name, weightCount, kernel[axis])
    }
    guard inputCount < Self.limit, outputCount < Self.limit, weightCount < Self.limit else {
      throw KernelError(name, "tensors are too large")
    }
    return (inputCount, weightCount, outputCount)
  }
}

/// The last `values.count` of three axes, those before filled with `filler`.
func axes(_ values: [Int], _ filler: Int) -> (Int, Int, Int) {
  let padded = [Int](repeating: filler, count: max(0, 3 - values.count)) + values
  return (padded[0], padded[1], padded[2])
}

extension FloatBackend {
  /// Packs OIHW weights. They serve every batch size and input size, and this instruction set alone.
  package func packConvolution(
    _ shape: ConvolutionShape, weights: UnsafeBufferPointer<Float>
  ) throws(KernelError) -> PackedWeights {
    var sizes = try shape.checked("convolution")
    try require(
      "convolution", "weights", has: weights.count, atLeast: shape.counts("convolution", transposed: false).weights)
    let packed = PackedWeights(
      count: kernels.pointee.conv_packed_size(&sizes), instructionSet: instructionSet, key: shape.key)
    kernels.pointee.conv_pack(&sizes, weights.baseAddress, packed.floats)
    return packed
  }

  /// Convolution of x [batch][inChannels][input...] into y [batch][outChannels][output...].
  package func convolve(
    _ shape: ConvolutionShape, _ x: UnsafeBufferPointer<Float>, _ weights: PackedWeights,
    into y: UnsafeMutableBufferPointer<Float>, epilogue: Epilogue = Epilogue()
  ) throws(KernelError) {
    let name = "convolution"
    var sizes = try shape.checked(name)
    let counts = try shape.counts(name, transposed: false)
    try weights.check(name, self, key: shape.key)
    try require(name, "input", has: x.count, atLeast: counts.input)
    try require(name, "output", has: y.count, atLeast: counts.output)
    guard epilogue.biasColumn == nil else { throw KernelError(name, "takes no column bias") }
    try epilogue.check(name, rows: shape.outChannels, columns: 0, result: counts.output)
    var value = epilogue.value
    kernels.pointee.conv(threads, &sizes, x.baseAddress, weights.floats, y.baseAddress, &value)
  }

  /// Packs weights of a transposed convolution, [inChannels][outChannels / groups][kernel...].
  package func packTransposedConvolution(
    _ shape: ConvolutionShape, weights: UnsafeBufferPointer<Float>
  ) throws(KernelError) -> PackedWeights {
    let name = "transposed convolution"
    var sizes = try shape.checked(name)
    try require(name, "weights", has: weights.count, atLeast: shape.counts(name, transposed: true).weights)
    let packed = PackedWeights(
      count: kernels.pointee.conv_transpose_packed_size(&sizes), instructionSet: instructionSet,
      key: [-1] + shape.key)
    kernels.pointee.conv_transpose_pack(&sizes, weights.baseAddress, packed.floats)
    return packed
  }

  /// Transposed convolution of x [batch][inChannels][input...] into y [batch][outChannels][output...].
  package func convolveTransposed(
    _ shape: ConvolutionShape, _ x: UnsafeBufferPointer<Float>, _ weights: PackedWeights,
    into y: UnsafeMutableBufferPointer<Float>, epilogue: Epilogue = Epilogue()
  ) throws(KernelError) {
    let name = "transposed convolution"
    var sizes = try shape.checked(name)
    let counts = try shape.counts(name, transposed: true)
    try weights.check(name, self, key: [-1] + shape.key)
    try require(name, "input", has: x.count, atLeast: counts.input)
    try require(name, "output", has: y.count, atLeast: counts.output)
    guard epilogue.biasColumn == nil else { throw KernelError(name, "takes no column bias") }
    try epilogue.check(name, rows: shape.outChannels, columns: 0, result: counts.output)
    var value = epilogue.value
    kernels.pointee.conv_transpose(threads, &sizes, x.baseAddress, weights.floats, y.baseAddress, &value)
  }
}
