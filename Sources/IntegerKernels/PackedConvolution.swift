import CKernels

/// A convolution (or, with a 1×1 kernel, a matrix product) as integers: everything but the input's extents.
package struct ConvolutionDescription: Sendable {
  package var channels: Int
  package var outputs: Int
  package var groups = 1
  /// Depth, height, width; leading ones for fewer dimensions.
  package var kernel = [1, 1, 1]
  package var stride = [1, 1, 1]
  package var dilation = [1, 1, 1]
  package var inputZero: Int32
  /// [outputs][channels / groups][kernel]
  package var weights: [Int8]
  /// One for each output; nil when all are 0.
  package var weightZeros: [Int32]?
  package var bias: [Int32]?
  /// nil gives the accumulators.
  package var requantization: Requantization?

  package struct Requantization: Sendable {
    package var output: IntegerOutput
    package var rounding: IntegerRounding
    /// One for each output.
    package var multipliers: [IntegerMultiplier]
    /// binary32 patterns, one for each output; read under `.binary32` only.
    package var patterns: [UInt32]

    package init(
      output: IntegerOutput, rounding: IntegerRounding, multipliers: [IntegerMultiplier], patterns: [UInt32]
    ) {
      self.output = output
      self.rounding = rounding
      self.multipliers = multipliers
      self.patterns = patterns
    }
  }

  package init(channels: Int, outputs: Int, inputZero: Int32, weights: [Int8]) {
    self.channels = channels
    self.outputs = outputs
    self.inputZero = inputZero
    self.weights = weights
  }

  /// The least and greatest accumulator of each output over all 8-bit inputs.
  package func bounds() throws(IntegerKernelError) -> (least: [Int64], greatest: [Int64]) {
    var least = [Int64](repeating: 0, count: outputs)
    var greatest = least
    try withSpec { spec in ck_int_conv_bounds(spec, 0, 255, &least, &greatest) }
    return (least, greatest)
  }

  func withSpec<R>(_ body: (UnsafePointer<ck_int_conv_spec>) -> R) throws(IntegerKernelError) -> R {
    let depth = groups > 0 ? channels / groups * kernel.reduce(1, *) : 0
    guard channels > 0, outputs > 0, groups > 0, kernel.count == 3, stride.count == 3, dilation.count == 3,
      weights.count == outputs * depth, bias.map({ $0.count == outputs }) ?? true,
      weightZeros.map({ $0.count == outputs }) ?? true,
      requantization.map({ $0.multipliers.count == outputs && $0.patterns.count == outputs }) ?? true
    else { throw IntegerKernelError("weights, biases or multipliers do not fit the convolution") }
    func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
    return weights.withUnsafeBufferPointer { weights in
      withOptional(weightZeros) { zeros in
        withOptional(bias) { bias in
          withOptional(requantization?.multipliers) { multipliers in
            withOptional(requantization?.patterns) { patterns in
              var spec = ck_int_conv_spec()
              spec.shape = ck_int_conv_shape(
                channels: Int64(channels), outputs: Int64(outputs), groups: Int64(groups), kernel: triple(kernel),
                stride: triple(stride), dilation: triple(dilation))
              spec.x_zero = inputZero
              spec.weights = weights.baseAddress
              spec.w_zero = zeros
              spec.bias = bias
              spec.type = requantization == nil ? CK_INT_S32 : CK_INT_U8
              spec.output = requantization?.output ?? ck_int_output()
              spec.multipliers = multipliers
              spec.float_multipliers = patterns
              spec.rounding = requantization?.rounding.code ?? CK_INT_ROUND_FIXED
              return withUnsafePointer(to: &spec, body)
            }
          }
        }
      }
    }
  }
}

private func withOptional<T, R>(_ array: [T]?, _ body: (UnsafePointer<T>?) -> R) -> R {
  guard let array else { return body(nil) }
  return array.withUnsafeBufferPointer { body($0.baseAddress) }
}

/// The extents that a convolution meets: batch, input and padding, leading ones for fewer dimensions.
package struct ConvolutionGeometry: Sendable {
  package var batch: Int
  package var input: [Int]
  package var begin: [Int]
  package var end: [Int]

  package init(batch: Int, input: [Int], begin: [Int] = [0, 0, 0], end: [Int] = [0, 0, 0]) {
    self.batch = batch
    self.input = input
    self.begin = begin
    self.end = end
  }

  package var c: ck_int_conv_geometry {
    func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
    return ck_int_conv_geometry(batch: Int64(batch), input: triple(input), begin: triple(begin), end: triple(end))
  }
}

/// Weights packed for the kernels of this machine.
package final class PackedConvolution: @unchecked Sendable {
  private let handle: OpaquePointer
  package let outputs: Int
  package let isWide: Bool

  /// The caller has proved with `bounds` that no accumulator leaves Int32.
  package init(_ description: ConvolutionDescription) throws(IntegerKernelError) {
    guard let handle = try description.withSpec({ ck_int_conv_create($0) }) else {
      throw IntegerKernelError("the convolution's sizes are not valid, or memory is short")
    }
    self.handle = handle
    outputs = description.outputs
    isWide = description.requantization == nil
  }

  deinit { ck_int_conv_destroy(handle) }

  /// Depth, height, width of the output.
  package func outputExtents(_ geometry: ConvolutionGeometry) throws(IntegerKernelError) -> [Int] {
    var g = geometry.c
    let extents = (0..<3).map { Int(ck_int_conv_output(handle, &g, Int32($0))) }
    guard extents.allSatisfy({ $0 >= 0 }) else { throw IntegerKernelError("the convolution's extents are not valid") }
    return extents
  }

  /// Bytes of scratch memory that `run` needs.
  package func workspace(_ geometry: ConvolutionGeometry) throws(IntegerKernelError) -> Int {
    var g = geometry.c
    let bytes = ck_int_conv_workspace(handle, &g)
    guard bytes >= 0 else { throw IntegerKernelError("the convolution's extents are not valid") }
    return Int(bytes)
  }

  /// x is channels last, readable for 64 bytes past its end; y gets UInt8, or Int32 where `isWide`.
  package func run(
    _ geometry: ConvolutionGeometry, _ x: UnsafePointer<UInt8>, into y: UnsafeMutableRawPointer,
    workspace: UnsafeMutableRawPointer, pool: OpaquePointer?
  ) throws(IntegerKernelError) {
    var g = geometry.c
    guard ck_int_conv_run(handle, &g, x, y, workspace, pool, ck_isa_current()) == 0 else {
      throw IntegerKernelError("the convolution's extents are not valid")
    }
  }

  /// y[rows][outputs] from x[rows][channels].
  package func multiply(
    rows: Int, depth: Int, _ x: UnsafePointer<UInt8>, into y: UnsafeMutableRawPointer, pool: OpaquePointer?
  ) throws(IntegerKernelError) {
    guard ck_int_matmul_run(handle, Int64(rows), Int64(depth), x, y, pool, ck_isa_current()) == 0 else {
      throw IntegerKernelError("the matrices' sizes are not valid")
    }
  }
}

/// y[rows][columns] = Σ (a - aZero)(b - bZero), both operands activations. depth · 255² must fit Int32.
package func multiplyActivations(
  rows: Int, columns: Int, depth: Int, _ a: UnsafePointer<UInt8>, zero aZero: Int32, _ b: UnsafePointer<UInt8>,
  zero bZero: Int32, into y: UnsafeMutablePointer<Int32>, pool: OpaquePointer?
) throws(IntegerKernelError) {
  guard
    ck_int_matmul_dynamic(
      Int64(rows), Int64(columns), Int64(depth), a, aZero, b, bZero, 0, y, pool, ck_isa_current()) == 0
  else { throw IntegerKernelError("the matrices' sizes are not valid, or memory is short") }
}
