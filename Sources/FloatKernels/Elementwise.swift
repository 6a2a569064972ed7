import CKernels

package enum BinaryFunction: Sendable, CaseIterable {
  case add, subtract, multiply, divide, max, min, prelu, squaredDifference

  var operation: ck_binary_op {
    switch self {
    case .add: CK_ADD
    case .subtract: CK_SUB
    case .multiply: CK_MUL
    case .divide: CK_DIV
    case .max: CK_MAX
    case .min: CK_MIN
    case .prelu: CK_PRELU
    case .squaredDifference: CK_SQUARED_DIFFERENCE
    }
  }
}

/// How an operand of `rows` by `columns` elements is read.
package enum Broadcast: Sendable {
  /// All elements are there.
  case full
  /// One row, used for every row.
  case row
  /// One element per row.
  case column
  /// One element.
  case scalar

  func strides(columns: Int) -> (row: Int, column: Int) {
    switch self {
    case .full: (columns, 1)
    case .row: (0, 1)
    case .column: (1, 0)
    case .scalar: (0, 0)
    }
  }

  func needed(rows: Int, columns: Int) throws(KernelError) -> Int {
    let all = try elementCount("elementwise", rows, columns)
    if all == 0 { return 0 }
    return switch self {
    case .full: all
    case .row: columns
    case .column: rows
    case .scalar: 1
    }
  }
}

extension FloatBackend {
  /// y = function(x) over all of x; y may be the memory of x.
  package func apply(
    _ function: UnaryFunction, _ x: UnsafeBufferPointer<Float>, into y: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    try require("elementwise", "output", has: y.count, atLeast: x.count)
    kernels.pointee.unary(threads, function.operation, function.a, function.b, x.count, x.baseAddress, y.baseAddress)
  }

  /// z = function(x, y) for z of `rows` by `columns`. z may be the memory of an operand that is `.full`.
  package func apply(
    _ function: BinaryFunction, rows: Int, columns: Int, _ x: UnsafeBufferPointer<Float>, _ xForm: Broadcast = .full,
    _ y: UnsafeBufferPointer<Float>, _ yForm: Broadcast = .full, into z: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    let name = "elementwise"
    try require(name, "output", has: z.count, atLeast: elementCount(name, rows, columns))
    try require(name, "left operand", has: x.count, atLeast: xForm.needed(rows: rows, columns: columns))
    try require(name, "right operand", has: y.count, atLeast: yForm.needed(rows: rows, columns: columns))
    let (xRow, xColumn) = xForm.strides(columns: columns)
    let (yRow, yColumn) = yForm.strides(columns: columns)
    kernels.pointee.binary(
      threads, function.operation, rows, columns, x.baseAddress, xRow, xColumn, y.baseAddress, yRow, yColumn,
      z.baseAddress)
  }

  /// y = fma(x, scale[c], shift[c]) over x [outer][channels][inner].
  package func scaleShift(
    outer: Int, channels: Int, inner: Int, _ x: UnsafeBufferPointer<Float>, scale: UnsafeBufferPointer<Float>,
    shift: UnsafeBufferPointer<Float>, into y: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    let name = "scale and shift"
    let count = try elementCount(name, outer, channels, inner)
    try require(name, "input", has: x.count, atLeast: count)
    try require(name, "output", has: y.count, atLeast: count)
    try require(name, "scale", has: scale.count, atLeast: channels)
    try require(name, "shift", has: shift.count, atLeast: channels)
    kernels.pointee.scale_shift(
      threads, outer, channels, inner, x.baseAddress, scale.baseAddress, shift.baseAddress, y.baseAddress)
  }
}
