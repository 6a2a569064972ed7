import CKernels

/// A pooling window: depth, height, width, leading ones for fewer dimensions.
package struct PoolingWindow: Sendable {
  package var kernel: [Int]
  package var stride: [Int]
  package var dilation: [Int]
  package var output: [Int]

  package init(kernel: [Int], stride: [Int], dilation: [Int], output: [Int]) {
    self.kernel = kernel
    self.stride = stride
    self.dilation = dilation
    self.output = output
  }

  package func c(channels: Int) -> ck_int_pool_shape {
    func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
    return ck_int_pool_shape(
      channels: Int64(channels), kernel: triple(kernel), stride: triple(stride), dilation: triple(dilation),
      output: triple(output))
  }
}

/// The greatest element of each window, over elements inside the input; 0 where there is none. Channels last.
package func maxPool(
  _ window: PoolingWindow, _ geometry: ConvolutionGeometry, channels: Int, _ x: UnsafePointer<UInt8>,
  into y: UnsafeMutablePointer<UInt8>
) {
  var s = window.c(channels: channels)
  var g = geometry.c
  ck_int_max_pool(&s, &g, x, 0, y, ck_isa_current())
}

/// Σ (x - zero) over each window's elements inside the input, and how many there are for each output pixel.
package func poolSums(
  _ window: PoolingWindow, _ geometry: ConvolutionGeometry, channels: Int, _ x: UnsafePointer<UInt8>, zero: Int32,
  sums: UnsafeMutablePointer<Int32>, counts: UnsafeMutablePointer<Int32>
) {
  var s = window.c(channels: channels)
  var g = geometry.c
  ck_int_pool_sums(&s, &g, x, zero, sums, counts, ck_isa_current())
}

/// sums[outer][inner] = Σ over `count` of (x[outer][k][inner] - zero).
package func sums(
  _ x: UnsafePointer<UInt8>, outer: Int, count: Int, inner: Int, zero: Int32, into y: UnsafeMutablePointer<Int32>
) {
  ck_int_sums(x, Int64(outer), Int64(count), Int64(inner), zero, y, ck_isa_current())
}
