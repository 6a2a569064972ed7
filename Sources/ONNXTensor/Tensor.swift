/// A dense row-major tensor: element type, shape and shared immutable storage.
///
/// Types below 8 bits are packed as in `raw_data` (first element in the low bits). Strings are kept as bytes.
package struct Tensor: Sendable {
  package let elementType: ElementType
  package let shape: [Int]
  package let storage: TensorStorage
  package let byteOffset: Int
  /// The elements of a string tensor; nil for all other types.
  package let strings: [[UInt8]]?

  /// Product of the dimensions; 1 for a scalar.
  package let count: Int

  /// A view of `storage` from `byteOffset` on. The caller has checked that the bytes suffice.
  package init(elementType: ElementType, shape: [Int], storage: TensorStorage, byteOffset: Int = 0) {
    self.elementType = elementType
    self.shape = shape
    self.storage = storage
    self.byteOffset = byteOffset
    strings = nil
    count = shape.reduce(1, *)
    precondition(
      byteOffset >= 0 && (elementType.byteCount(elements: count) ?? .max) <= storage.byteCount - byteOffset,
      "tensor \(shape) of \(elementType.name) does not fit its storage")
  }

  package init(strings: [[UInt8]], shape: [Int]) {
    elementType = .string
    self.shape = shape
    storage = TensorStorage(byteCount: 0)
    byteOffset = 0
    self.strings = strings
    count = shape.reduce(1, *)
    precondition(strings.count == count, "string tensor \(shape) with \(strings.count) elements")
  }

  /// Fills a new tensor through `body`, which must write every byte.
  package init(
    _ elementType: ElementType, shape: [Int], pool: BufferPool? = nil,
    filling body: (UnsafeMutableRawBufferPointer) throws -> Void
  ) rethrows {
    let bytes = elementType.byteCount(elements: shape.reduce(1, *)) ?? .max
    let storage = TensorStorage(byteCount: bytes, pool: pool)
    try body(UnsafeMutableRawBufferPointer(start: storage.base, count: bytes))
    self.init(elementType: elementType, shape: shape, storage: storage)
  }

  /// Fills a new tensor of `T`'s element type (or of `as`, a type of the same width) through `body`.
  package init<T: TensorElement>(
    of type: T.Type, as elementType: ElementType? = nil, shape: [Int], pool: BufferPool? = nil,
    filling body: (UnsafeMutableBufferPointer<T>) throws -> Void
  ) rethrows {
    try self.init(elementType ?? T.elementType, shape: shape, pool: pool) {
      try body($0.bindMemory(to: T.self))
    }
  }

  package init<T: TensorElement>(_ elements: [T], shape: [Int], as elementType: ElementType? = nil) {
    precondition(elements.count == shape.reduce(1, *), "\(elements.count) elements for shape \(shape)")
    self.init(of: T.self, as: elementType, shape: shape) { _ = $0.update(fromContentsOf: elements) }
  }

  package init<T: TensorElement>(scalar value: T) { self.init([value], shape: []) }

  package init<T: TensorElement>(repeating value: T, shape: [Int], pool: BufferPool? = nil) {
    self.init(of: T.self, shape: shape, pool: pool) { $0.update(repeating: value) }
  }

  package var rank: Int { shape.count }
  package var byteCount: Int { elementType.byteCount(elements: count) ?? 0 }

  /// The same elements under another shape of equal element count.
  package func reshaped(_ shape: [Int]) -> Tensor {
    if let strings { return Tensor(strings: strings, shape: shape) }
    precondition(shape.reduce(1, *) == count, "cannot view \(self.shape) as \(shape)")
    return Tensor(elementType: elementType, shape: shape, storage: storage, byteOffset: byteOffset)
  }

  /// The same bytes as another element type of equal width.
  package func reinterpreted(as type: ElementType) -> Tensor {
    precondition(type.bitWidth == elementType.bitWidth, "cannot view \(elementType.name) as \(type.name)")
    return Tensor(elementType: type, shape: shape, storage: storage, byteOffset: byteOffset)
  }

  /// The elements of index `range` on axis 0, without a copy. Not for packed or string types.
  package func rows(_ range: Range<Int>) -> Tensor {
    let row = count / max(shape[0], 1) * elementType.bitWidth / 8
    return Tensor(
      elementType: elementType, shape: [range.count] + shape.dropFirst(), storage: storage,
      byteOffset: byteOffset + range.lowerBound * row)
  }
}
