import ONNXGraph
import ONNXTensor

/// A dimension as inference sees it: a number, a named parameter, or unknown.
typealias Extent = ValueType.Dimension.Extent

extension Extent {
  init(_ value: Int) { self = value < 0 ? .unknown : .value(Int64(value)) }

  /// The number, where it is one.
  var known: Int? {
    if case .value(let value) = self, value >= 0 { Int(value) } else { nil }
  }

  /// What both agree on: a number before a parameter before nothing.
  func merged(with other: Extent) -> Extent {
    if known != nil { return self }
    if other.known != nil { return other }
    if case .unknown = self { return other }
    return self
  }
}

extension InferredValue {
  /// A tensor type; nil when not even the element type is known.
  init?(_ elementType: ElementType?, extents: [Extent]?) {
    guard let elementType else { return nil }
    self.init(
      ValueType(
        .tensor(
          ValueType.TensorType(
            elementType: elementType.rawValue, shape: extents?.map { ValueType.Dimension($0) }))))
  }

  /// nil when the rank is unknown.
  var extents: [Extent]? { type.tensorType?.shape?.map(\.extent) }
}

extension [InferredValue?] {
  func elementType(_ index: Int) -> ElementType? { value(index)?.elementType }
  func extents(_ index: Int) -> [Extent]? { value(index)?.extents }
  func constant(_ index: Int) -> Tensor? { value(index)?.constant }
  private func value(_ index: Int) -> InferredValue? { index < count ? self[index] : nil }

  /// The type of input `index`, unchanged.
  func like(_ index: Int) -> InferredValue? {
    value(index).flatMap { InferredValue($0.elementType, extents: $0.extents) }
  }
}

/// The shape that broadcasting gives; nil where ranks are unknown.
func broadcastExtents(_ left: [Extent]?, _ right: [Extent]?) -> [Extent]? {
  guard let left, let right else { return nil }
  let rank = Swift.max(left.count, right.count)
  return (0..<rank).map { axis in
    let l = axis - (rank - left.count)
    let r = axis - (rank - right.count)
    if l < 0 { return right[r] }
    if r < 0 { return left[l] }
    if left[l].known == 1 { return right[r] }
    if right[r].known == 1 { return left[l] }
    if left[l].known != nil { return left[l] }
    if right[r].known != nil { return right[r] }
    return left[l] == right[r] ? left[l] : .unknown
  }
}

/// The shape that broadcasting gives; an error when the shapes do not agree.
func broadcastShape(_ left: [Int], _ right: [Int]) throws(OperatorError) -> [Int] {
  let rank = Swift.max(left.count, right.count)
  var result = [Int](repeating: 1, count: rank)
  for axis in 0..<rank {
    let l = axis - (rank - left.count)
    let r = axis - (rank - right.count)
    let a = l < 0 ? 1 : left[l]
    let b = r < 0 ? 1 : right[r]
    guard a == b || a == 1 || b == 1 else {
      throw OperatorError("shapes \(left) and \(right) cannot be broadcast together")
    }
    result[axis] = a == 1 ? b : a
  }
  return result
}

/// Element strides of a tensor of `shape` read as if broadcast to `target` (0 where it is repeated).
func broadcastStrides(_ shape: [Int], to target: [Int]) -> [Int] {
  let strides = rowMajorStrides(shape)
  return target.indices.map { axis in
    let own = axis - (target.count - shape.count)
    return own < 0 || shape[own] == 1 ? 0 : strides[own]
  }
}
