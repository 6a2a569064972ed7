/// Sizes that do not fit each other, found at the boundary of a kernel.
package struct KernelError: Error, Equatable, CustomStringConvertible {
  package var kernel: String
  package var message: String

  package init(_ kernel: String, _ message: String) {
    self.kernel = kernel
    self.message = message
  }

  package var description: String { "\(kernel): \(message)" }
}

/// The product of sizes; throws on a negative one and on overflow.
func elementCount(_ kernel: String, _ sizes: Int...) throws(KernelError) -> Int {
  var count = 1
  for size in sizes {
    guard size >= 0 else { throw KernelError(kernel, "negative size \(size)") }
    let (product, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow else { throw KernelError(kernel, "sizes \(sizes) overflow") }
    count = product
  }
  return count
}

func require(_ kernel: String, _ name: String, has count: Int, atLeast needed: Int) throws(KernelError) {
  guard count >= needed else { throw KernelError(kernel, "\(name) has \(count) elements, \(needed) needed") }
}

/// One past the largest index of `rows` by `columns` elements at the given strides.
func extent(_ kernel: String, rows: Int, rowStride: Int, columns: Int, columnStride: Int) throws(KernelError) -> Int {
  guard rows >= 0, columns >= 0, rowStride >= 0, columnStride >= 0 else {
    throw KernelError(kernel, "negative size or stride")
  }
  if rows == 0 || columns == 0 { return 0 }
  let (down, overflow1) = (rows - 1).multipliedReportingOverflow(by: rowStride)
  let (across, overflow2) = (columns - 1).multipliedReportingOverflow(by: columnStride)
  let (last, overflow3) = down.addingReportingOverflow(across)
  guard !overflow1, !overflow2, !overflow3, last < Int.max else { throw KernelError(kernel, "sizes overflow") }
  return last + 1
}
