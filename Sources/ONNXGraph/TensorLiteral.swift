import ONNXTensor

/// A `TensorProto` kept field by field, so that writing it back loses nothing.
///
/// Values are in exactly one of `raw`, the typed arrays, or external data. `raw` and external bytes are views into the
/// mapped file and are not copied.
package struct TensorLiteral: Sendable {
  package var name: String?
  package var dims: [Int64]
  /// `TensorProto.DataType` as stored; may be a number this version does not know.
  package var dataType: Int32?
  package var raw: ByteView?
  package var floatData: [Float] = []
  package var int32Data: [Int32] = []
  package var int64Data: [Int64] = []
  package var doubleData: [Double] = []
  package var uint64Data: [UInt64] = []
  package var stringData: [[UInt8]] = []
  package var segment: Segment?
  package var dataLocation: Int32?
  package var externalData: [StringEntry] = []
  /// The bytes that `externalData` names, once the format layer has found and checked them.
  package var external: ByteView?
  package var docString: String?
  package var metadata: [StringEntry] = []
  package var unknownFields: [UnknownField] = []

  package struct Segment: Sendable {
    package var begin: Int64?
    package var end: Int64?
    package var unknownFields: [UnknownField] = []
    package init(begin: Int64?, end: Int64?) {
      self.begin = begin
      self.end = end
    }
  }

  package init(name: String?, dims: [Int64], dataType: Int32?) {
    self.name = name
    self.dims = dims
    self.dataType = dataType
  }

  /// A literal that holds `tensor` as `raw_data` (strings as `string_data`), sharing its storage.
  package init(name: String?, _ tensor: Tensor) {
    self.init(name: name, dims: tensor.shape.map(Int64.init), dataType: tensor.elementType.rawValue)
    if let strings = tensor.strings {
      stringData = strings
    } else if tensor.elementType.isFloat6 {
      raw = ByteView(packFloat6(tensor.storedCodes))
    } else {
      raw = ByteView(tensor)
    }
  }

  package var elementType: ElementType? { dataType.flatMap(ElementType.init) }
  package var isExternal: Bool { dataLocation == 1 }

  /// Product of the dimensions; nil when one is negative or the product overflows.
  package var elementCount: Int? {
    var count = 1
    for dim in dims {
      guard dim >= 0 else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: Int(dim))
      if overflow { return nil }
      count = product
    }
    return count
  }

  /// The values as a tensor. Bytes in the file are viewed, not copied, where they are aligned for their type.
  package func tensor() throws(GraphError) -> Tensor {
    guard let type = elementType else {
      throw fault("has data type \(dataType ?? 0), which this version does not know")
    }
    guard let count = elementCount, let byteCount = type.rawByteCount(elements: count) else {
      throw fault("has impossible dimensions \(dims)")
    }
    let shape = dims.map(Int.init)
    if type == .string {
      guard stringData.count == count else {
        throw fault("has \(stringData.count) strings for dimensions \(dims)")
      }
      return Tensor(strings: stringData, shape: shape)
    }
    if isExternal || raw != nil {
      guard let view = isExternal ? external : raw else { throw fault("has external data that was not loaded") }
      guard view.count == byteCount else {
        throw fault("has \(view.count) bytes of data, dimensions \(dims) of \(type.name) need \(byteCount)")
      }
      if type.isFloat6 {
        return Tensor(codes: unpackFloat6(view.bytes, count: count), elementType: type, shape: shape)
      }
      let alignment = UInt(max(type.bitWidth / 8, 1))
      if UInt(bitPattern: view.bytes.baseAddress) % alignment == 0 {
        return Tensor(
          elementType: type, shape: shape, storage: TensorStorage(viewing: view.bytes, owner: view.owner))
      }
      return Tensor(type, shape: shape) { $0.copyMemory(from: view.bytes) }
    }
    return try typedTensor(type, shape: shape, count: count)
  }

  private func typedTensor(_ type: ElementType, shape: [Int], count: Int) throws(GraphError) -> Tensor {
    func check(_ stored: Int, _ expected: Int) throws(GraphError) {
      guard stored == expected else {
        throw fault("has \(stored) stored values, dimensions \(dims) of \(type.name) need \(expected)")
      }
    }
    switch type {
    case .float32:
      try check(floatData.count, count)
      return Tensor(floatData, shape: shape)
    case .complex64:
      try check(floatData.count, 2 * count)
      return Tensor(type, shape: shape) { bytes in floatData.withUnsafeBytes { bytes.copyMemory(from: $0) } }
    case .float64:
      try check(doubleData.count, count)
      return Tensor(doubleData, shape: shape)
    case .complex128:
      try check(doubleData.count, 2 * count)
      return Tensor(type, shape: shape) { bytes in doubleData.withUnsafeBytes { bytes.copyMemory(from: $0) } }
    case .int64:
      try check(int64Data.count, count)
      return Tensor(int64Data, shape: shape)
    case .uint64:
      try check(uint64Data.count, count)
      return Tensor(uint64Data, shape: shape)
    case .uint32:
      try check(uint64Data.count, count)
      return Tensor(uint64Data.map(UInt32.init(truncatingIfNeeded:)), shape: shape)
    case .int32:
      try check(int32Data.count, count)
      return Tensor(int32Data, shape: shape)
    case .uint16, .int16, .float16, .bfloat16:
      try check(int32Data.count, count)
      return Tensor(int32Data.map(UInt16.init(truncatingIfNeeded:)), shape: shape, as: type)
    case .string:
      throw fault("is a string tensor")
    case .int4, .uint4, .float4E2M1, .int2, .uint2:
      let bytes = type.byteCount(elements: count) ?? 0
      try check(int32Data.count, bytes)
      return Tensor(type, shape: shape) { $0.copyBytes(from: int32Data.map(UInt8.init(truncatingIfNeeded:))) }
    default:
      try check(int32Data.count, count)
      return Tensor(int32Data.map(UInt8.init(truncatingIfNeeded:)), shape: shape, as: type)
    }
  }

  private func fault(_ message: String) -> GraphError {
    GraphError(.badTensor, "tensor '\(name ?? "")' \(message)", advice: "the model file is damaged: export it again")
  }
}

/// `SparseTensorProto`.
package struct SparseTensorLiteral: Sendable {
  package var values: TensorLiteral?
  package var indices: TensorLiteral?
  package var dims: [Int64]
  package var unknownFields: [UnknownField] = []

  package init(values: TensorLiteral?, indices: TensorLiteral?, dims: [Int64]) {
    self.values = values
    self.indices = indices
    self.dims = dims
  }
}
