import ONNXTensor

/// `TypeProto`: what is known about a value before it is computed.
package struct ValueType: Sendable {
  package indirect enum Kind: Sendable {
    case none
    case tensor(TensorType)
    case sparseTensor(TensorType)
    case sequence(ValueType?)
    case optional(ValueType?)
    case map(keyType: Int32?, value: ValueType?)
    case opaque(domain: String?, name: String?)
  }

  package struct TensorType: Sendable {
    /// `TensorProto.DataType` as stored.
    package var elementType: Int32?
    /// nil when even the rank is unknown.
    package var shape: [Dimension]?
    package var unknownFields: [UnknownField] = []
    /// Unknown fields of the `TensorShapeProto`.
    package var shapeUnknownFields: [UnknownField] = []

    package init(elementType: Int32?, shape: [Dimension]?) {
      self.elementType = elementType
      self.shape = shape
    }
  }

  package struct Dimension: Sendable {
    package enum Extent: Sendable, Equatable {
      case unknown
      case value(Int64)
      case parameter(String)
    }
    package var extent: Extent
    package var denotation: String?
    package var unknownFields: [UnknownField] = []

    package init(_ extent: Extent, denotation: String? = nil) {
      self.extent = extent
      self.denotation = denotation
    }
  }

  package var kind: Kind
  package var denotation: String?
  package var unknownFields: [UnknownField] = []
  /// Unknown fields of the message inside the oneof.
  package var kindUnknownFields: [UnknownField] = []

  package init(_ kind: Kind, denotation: String? = nil) {
    self.kind = kind
    self.denotation = denotation
  }

  /// A tensor type with fixed dimensions; -1 stands for an unknown one.
  package static func tensor(_ type: ElementType, _ shape: [Int]?) -> ValueType {
    ValueType(
      .tensor(
        TensorType(
          elementType: type.rawValue, shape: shape?.map { Dimension($0 < 0 ? .unknown : .value(Int64($0))) })))
  }

  package var tensorType: TensorType? { if case .tensor(let type) = kind { type } else { nil } }
  package var elementType: ElementType? { tensorType?.elementType.flatMap(ElementType.init) }
  /// The dimensions when all of them are known numbers.
  package var staticShape: [Int]? {
    guard let shape = tensorType?.shape else { return nil }
    var dims: [Int] = []
    for dimension in shape {
      guard case .value(let extent) = dimension.extent, extent >= 0 else { return nil }
      dims.append(Int(extent))
    }
    return dims
  }
  package var rank: Int? { tensorType?.shape?.count }
}

/// `ValueInfoProto` without its name, which is the value's.
package struct ValueInfo: Sendable {
  package var type: ValueType?
  package var docString: String?
  package var metadata: [StringEntry] = []
  package var unknownFields: [UnknownField] = []
  /// False where the file leaves the name field out altogether.
  package var hasName = true

  package init(type: ValueType?, docString: String? = nil) {
    self.type = type
    self.docString = docString
  }
}
