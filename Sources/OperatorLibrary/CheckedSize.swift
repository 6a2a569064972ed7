import Glibc
import ONNXTensor

/// Arithmetic on sizes that come from files and inputs: checked, so that nonsense is an error and not a trap.
enum CheckedSize {
  static func product(_ factors: some Sequence<Int>) throws(OperatorError) -> Int {
    // The other extents of an empty shape must make sense too: parts of it are multiplied elsewhere.
    var result = 1
    var isEmpty = false
    for factor in factors {
      if factor == 0 { isEmpty = true } else { result = try multiply(result, factor) }
    }
    return isEmpty ? 0 : result
  }

  static func multiply(_ left: Int, _ right: Int) throws(OperatorError) -> Int {
    let (value, overflow) = left.multipliedReportingOverflow(by: right)
    if overflow { throw OperatorError("a size overflows: \(left) times \(right)") }
    return value
  }

  static func add(_ left: Int, _ right: Int) throws(OperatorError) -> Int {
    let (value, overflow) = left.addingReportingOverflow(right)
    if overflow { throw OperatorError("a size overflows: \(left) plus \(right)") }
    return value
  }

  /// No tensor can be larger than the memory of the machine.
  private static let memory: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let page = sysconf(Int32(_SC_PAGESIZE))
    return pages > 0 && page > 0 ? pages.multipliedReportingOverflow(by: page).partialValue : 1 << 40
  }()

  /// Throws unless a tensor of this shape can exist.
  static func check(_ shape: [Int], of elementType: ElementType) throws(OperatorError) {
    if let extent = shape.first(where: { $0 < 0 }) {
      throw OperatorError("negative extent \(extent) in shape \(shape)")
    }
    guard let bytes = elementType.byteCount(elements: try product(shape)), bytes <= memory else {
      throw OperatorError("shape \(shape) of \(elementType.name) is larger than the memory of this machine")
    }
  }

  /// An axis given as an attribute or input, counted from the back when negative.
  static func axis(_ axis: Int, rank: Int, what: String = "axis") throws(OperatorError) -> Int {
    guard axis >= -rank, axis < rank else { throw OperatorError("\(what) \(axis) does not fit rank \(rank)") }
    return axis < 0 ? axis + rank : axis
  }
}

extension EvaluationContext {
  /// A new tensor filled through `body`, which must write every element; an error when the shape cannot exist.
  func tensor<T: TensorElement>(
    of type: T.Type, as elementType: ElementType? = nil, shape: [Int],
    filling body: (UnsafeMutableBufferPointer<T>) throws -> Void
  ) throws -> Tensor {
    try CheckedSize.check(shape, of: elementType ?? T.elementType)
    return try Tensor(of: T.self, as: elementType, shape: shape, pool: pool, filling: body)
  }
}

/// Elements between neighbours of each axis in a dense row-major tensor.
func rowMajorStrides(_ shape: [Int]) -> [Int] {
  var strides = [Int](repeating: 1, count: shape.count)
  for axis in stride(from: shape.count - 2, through: 0, by: -1) { strides[axis] = strides[axis + 1] &* shape[axis + 1] }
  return strides
}

/// Steps `index` to its successor in row-major order; false (and all zeros) after the last.
@discardableResult
func advance(_ index: inout [Int], in shape: [Int]) -> Bool {
  for axis in stride(from: shape.count - 1, through: 0, by: -1) {
    index[axis] += 1
    if index[axis] < shape[axis] { return true }
    index[axis] = 0
  }
  return false
}

/// The product of part of a shape that exists as a tensor, and so cannot overflow.
func extent(_ shape: some Sequence<Int>) -> Int { shape.reduce(1) { $0 &* $1 } }
