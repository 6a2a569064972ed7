import CKernels

/// A matrix in memory: element (i, j) is at `i * rowStride + j * columnStride`, so a transposed one needs no copy.
package struct MatrixView {
  package var elements: UnsafeBufferPointer<Float>
  package var rowStride: Int
  package var columnStride: Int

  package init(_ elements: UnsafeBufferPointer<Float>, rowStride: Int, columnStride: Int = 1) {
    self.elements = elements
    self.rowStride = rowStride
    self.columnStride = columnStride
  }
}

extension FloatBackend {
  /// Packs a right-hand matrix of k rows and n columns for any number of products.
  package func packRight(k: Int, n: Int, _ b: MatrixView) throws(KernelError) -> PackedWeights {
    let kernel = "matrix multiply"
    try require(
      kernel, "B", has: b.elements.count,
      atLeast: extent(kernel, rows: k, rowStride: b.rowStride, columns: n, columnStride: b.columnStride))
    let packed = PackedWeights(
      count: kernels.pointee.sgemm_packed_b_size(k, n), instructionSet: instructionSet, key: [k, n])
    kernels.pointee.sgemm_pack_b(threads, k, n, b.elements.baseAddress, b.rowStride, b.columnStride, packed.floats)
    return packed
  }

  /// C = A B with the epilogue. C has rows of `n` elements.
  package func multiply(
    m: Int, n: Int, k: Int, _ a: MatrixView, _ b: MatrixView, into c: UnsafeMutableBufferPointer<Float>,
    epilogue: Epilogue = Epilogue()
  ) throws(KernelError) {
    let kernel = "matrix multiply"
    try require(
      kernel, "B", has: b.elements.count,
      atLeast: extent(kernel, rows: k, rowStride: b.rowStride, columns: n, columnStride: b.columnStride))
    try multiply(m: m, n: n, k: k, a, b, packed: nil, into: c, epilogue)
  }

  /// C = A B with a packed B.
  package func multiply(
    m: Int, n: Int, k: Int, _ a: MatrixView, _ b: PackedWeights, into c: UnsafeMutableBufferPointer<Float>,
    epilogue: Epilogue = Epilogue()
  ) throws(KernelError) {
    try b.check("matrix multiply", self, key: [k, n])
    let nothing = MatrixView(UnsafeBufferPointer(start: nil, count: 0), rowStride: 0)
    try multiply(m: m, n: n, k: k, a, nothing, packed: b, into: c, epilogue)
  }

  private func multiply(
    m: Int, n: Int, k: Int, _ a: MatrixView, _ b: MatrixView, packed: PackedWeights?,
    into c: UnsafeMutableBufferPointer<Float>, _ epilogue: Epilogue
  ) throws(KernelError) {
    let kernel = "matrix multiply"
    try require(
      kernel, "A", has: a.elements.count,
      atLeast: extent(kernel, rows: m, rowStride: a.rowStride, columns: k, columnStride: a.columnStride))
    let result = try elementCount(kernel, m, n)
    try require(kernel, "C", has: c.count, atLeast: result)
    try epilogue.check(kernel, rows: m, columns: n, result: result)
    var value = epilogue.value
    kernels.pointee.sgemm(
      threads, m, n, k, a.elements.baseAddress, a.rowStride, a.columnStride, b.elements.baseAddress, b.rowStride,
      b.columnStride, packed?.floats, c.baseAddress, n, &value)
  }

  /// Products of equal shape: number i multiplies the matrices that begin at `aOffsets[i]` and `bOffsets[i]` into the
  /// one at `cOffsets[i]`, each of which has rows of n elements. The epilogue has no residual here.
  package func multiplyBatch(
    m: Int, n: Int, k: Int, _ a: MatrixView, aOffsets: [Int], _ b: MatrixView, bOffsets: [Int],
    into c: UnsafeMutableBufferPointer<Float>, cOffsets: [Int], epilogue: Epilogue = Epilogue()
  ) throws(KernelError) {
    let kernel = "matrix multiply"
    guard aOffsets.count == cOffsets.count, bOffsets.count == cOffsets.count else {
      throw KernelError(kernel, "\(aOffsets.count), \(bOffsets.count) and \(cOffsets.count) matrices")
    }
    guard epilogue.residual == nil else { throw KernelError(kernel, "a batch takes no residual") }
    let aExtent = try extent(kernel, rows: m, rowStride: a.rowStride, columns: k, columnStride: a.columnStride)
    let bExtent = try extent(kernel, rows: k, rowStride: b.rowStride, columns: n, columnStride: b.columnStride)
    let cExtent = try elementCount(kernel, m, n)
    for (offsets, extent, count, name) in [
      (aOffsets, aExtent, a.elements.count, "A"), (bOffsets, bExtent, b.elements.count, "B"),
      (cOffsets, cExtent, c.count, "C"),
    ] {
      for offset in offsets where offset < 0 || extent > count || offset > count - extent {
        throw KernelError(kernel, "matrix at \(offset) of \(extent) elements is outside of \(name), which has \(count)")
      }
    }
    try epilogue.check(kernel, rows: m, columns: n, result: 0)
    if cExtent == 0 { return }
    let aPointers = aOffsets.map { offset in a.elements.baseAddress.map { $0 + offset } }
    let bPointers = bOffsets.map { offset in b.elements.baseAddress.map { $0 + offset } }
    let cPointers = cOffsets.map { offset in c.baseAddress.map { $0 + offset } }
    var value = epilogue.value
    kernels.pointee.sgemm_batch(
      threads, cOffsets.count, m, n, k, aPointers, a.rowStride, a.columnStride, bPointers, b.rowStride, b.columnStride,
      cPointers, n, &value)
  }
}
