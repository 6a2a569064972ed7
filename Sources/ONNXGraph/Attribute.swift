import ONNXTensor

/// `AttributeProto`. `type` is kept as stored, for files that leave it out.
package struct Attribute {
  package enum Payload {
    case none
    case float(Float)
    case int(Int64)
    case string([UInt8])
    case tensor(TensorLiteral)
    case graph(Graph)
    case sparseTensor(SparseTensorLiteral)
    case type(ValueType)
    case floats([Float])
    case ints([Int64])
    case strings([[UInt8]])
    case tensors([TensorLiteral])
    case graphs([Graph])
    case sparseTensors([SparseTensorLiteral])
    case types([ValueType])
  }

  package var name: String
  package var payload: Payload
  /// `AttributeProto.AttributeType` as stored; nil where the file has none.
  package var type: Int32?
  /// Set in function bodies: the attribute of the calling node whose value this one takes.
  package var referenceName: String?
  package var docString: String?
  package var unknownFields: [UnknownField] = []
  /// The file states the type but leaves the value out, which then is zero or empty; it is left out again when written.
  package var isDefaultOmitted = false

  package init(_ name: String, _ payload: Payload) {
    self.name = name
    self.payload = payload
    type = payload.typeCode
  }

  package init(_ name: String, int value: Int) { self.init(name, .int(Int64(value))) }
  package init(_ name: String, ints values: [Int]) { self.init(name, .ints(values.map(Int64.init))) }
  package init(_ name: String, float value: Float) { self.init(name, .float(value)) }
  package init(_ name: String, floats values: [Float]) { self.init(name, .floats(values)) }
  package init(_ name: String, string value: String) { self.init(name, .string(Array(value.utf8))) }
  package init(_ name: String, tensor value: Tensor) { self.init(name, .tensor(TensorLiteral(name: nil, value))) }
}

extension Attribute.Payload {
  /// `AttributeProto.AttributeType`; 0 for none.
  package var typeCode: Int32 {
    switch self {
    case .none: 0
    case .float: 1
    case .int: 2
    case .string: 3
    case .tensor: 4
    case .graph: 5
    case .floats: 6
    case .ints: 7
    case .strings: 8
    case .tensors: 9
    case .graphs: 10
    case .sparseTensor: 11
    case .sparseTensors: 12
    case .type: 13
    case .types: 14
    }
  }
}
