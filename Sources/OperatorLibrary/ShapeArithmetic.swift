import ONNXTensor

/// Checked arithmetic on shapes that come from models and inputs.
enum ShapeArithmetic {
  /// Results above this many bytes are refused: a model that asks for more is damaged.
  static let largestResult = 1 << 33

  /// Product of the extents.
  @discardableResult
  static func count(_ shape: some Sequence<Int>) throws -> Int {
    var count = 1
    var isEmpty = false
    for extent in shape {
      guard extent >= 0 else { throw OperatorError("a dimension is negative: \(Array(shape))") }
      if extent == 0 { isEmpty = true }
      let (product, overflow) = count.multipliedReportingOverflow(by: max(extent, 1))
      guard !overflow else { throw OperatorError("shape \(Array(shape)) has too many elements") }
      count = product
    }
    return isEmpty ? 0 : count
  }

  /// Checks that a result of this type and shape can be made; gives its element count.
  @discardableResult
  static func check(_ shape: [Int], _ type: ElementType) throws -> Int {
    let count = try count(shape)
    let bytes = type == .string ? count.multipliedReportingOverflow(by: 8).0 : type.byteCount(elements: count) ?? .max
    guard count <= largestResult, bytes >= 0, bytes <= largestResult else {
      throw OperatorError("a result of shape \(shape) and type \(type.name) is too large")
    }
    return count
  }

  /// `axis` counted from the front; negative axes count from the back.
  static func axis(_ axis: Int, rank: Int, name: String = "axis") throws -> Int {
    guard axis >= -rank, axis < rank else {
      throw OperatorError("'\(name)' is \(axis), the rank is \(rank)")
    }
    return axis < 0 ? axis + rank : axis
  }

  /// Several axes, each at most once.
  static func axes(_ axes: [Int], rank: Int, name: String = "axes") throws -> [Int] {
    let result = try axes.map { try axis($0, rank: rank, name: name) }
    guard Set(result).count == result.count else { throw OperatorError("'\(name)' names an axis twice: \(axes)") }
    return result
  }

  static func sum(_ a: Int, _ b: Int) throws -> Int {
    let (sum, overflow) = a.addingReportingOverflow(b)
    guard !overflow else { throw OperatorError("sizes overflow: \(a) + \(b)") }
    return sum
  }

  static func sum(_ values: [Int]) throws -> Int { try values.reduce(0) { try sum($0, $1) } }

  static func product(_ a: Int, _ b: Int) throws -> Int {
    let (product, overflow) = a.multipliedReportingOverflow(by: b)
    guard !overflow else { throw OperatorError("sizes overflow: \(a) * \(b)") }
    return product
  }

  /// Row-major strides in elements.
  static func strides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for index in stride(from: shape.count - 2, through: 0, by: -1) {
      strides[index] = strides[index + 1] &* max(shape[index + 1], 1)
    }
    return strides
  }

  /// Elements before, on and after `axis`.
  static func split(_ shape: [Int], at axis: Int) -> (outer: Int, extent: Int, inner: Int) {
    (shape[..<axis].reduce(1, &*), shape[axis], shape[(axis + 1)...].reduce(1, &*))
  }
}
