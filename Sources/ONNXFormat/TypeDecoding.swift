import COnnx
import ONNXGraph

extension ValueType {
  init(_ proto: UnsafeMutablePointer<Onnx__TypeProto>) {
    let type = proto.pointee
    var kindUnknownFields: [UnknownField] = []
    let kind: Kind
    switch type.value_case {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
      let inner = type.tensor_type.pointee
      kind = .tensor(
        TensorType(
          elementType: present(inner.has_elem_type, inner.elem_type), shape: inner.shape,
          unknownFields: ONNXFormat.unknownFields(inner.base)))
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
      let inner = type.sparse_tensor_type.pointee
      kind = .sparseTensor(
        TensorType(
          elementType: present(inner.has_elem_type, inner.elem_type), shape: inner.shape,
          unknownFields: ONNXFormat.unknownFields(inner.base)))
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
      let inner = type.sequence_type.pointee
      kind = .sequence(inner.elem_type.map { ValueType($0) })
      kindUnknownFields = ONNXFormat.unknownFields(inner.base)
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
      let inner = type.optional_type.pointee
      kind = .optional(inner.elem_type.map { ValueType($0) })
      kindUnknownFields = ONNXFormat.unknownFields(inner.base)
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
      let inner = type.map_type.pointee
      kind = .map(
        keyType: present(inner.has_key_type, inner.key_type), value: inner.value_type.map { ValueType($0) })
      kindUnknownFields = ONNXFormat.unknownFields(inner.base)
    case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE:
      let inner = type.opaque_type.pointee
      kind = .opaque(domain: text(inner.domain), name: text(inner.name))
      kindUnknownFields = ONNXFormat.unknownFields(inner.base)
    default:
      kind = .none
    }
    self.init(kind, denotation: text(type.denotation))
    self.unknownFields = ONNXFormat.unknownFields(type.base)
    self.kindUnknownFields = kindUnknownFields
  }
}

extension ValueType.TensorType {
  init(
    elementType: Int32?, shape: UnsafeMutablePointer<Onnx__TensorShapeProto>?, unknownFields: [UnknownField]
  ) {
    self.init(
      elementType: elementType, shape: shape.map { messages($0.pointee.dim, $0.pointee.n_dim).map { .init($0) } })
    self.unknownFields = unknownFields
    if let shape { shapeUnknownFields = ONNXFormat.unknownFields(shape.pointee.base) }
  }
}

extension ValueType.Dimension {
  init(_ proto: UnsafeMutablePointer<Onnx__TensorShapeProto__Dimension>) {
    let dimension = proto.pointee
    let extent: Extent =
      switch dimension.value_case {
      case ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE: .value(dimension.dim_value)
      case ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM: .parameter(text(dimension.dim_param) ?? "")
      default: .unknown
      }
    self.init(extent, denotation: text(dimension.denotation))
    unknownFields = ONNXFormat.unknownFields(dimension.base)
  }
}

extension ValueInfo {
  init(_ proto: UnsafeMutablePointer<Onnx__ValueInfoProto>) {
    let info = proto.pointee
    self.init(type: info.type.map { ValueType($0) }, docString: text(info.doc_string))
    metadata = stringEntries(info.metadata_props, info.n_metadata_props)
    unknownFields = ONNXFormat.unknownFields(info.base)
    hasName = info.name != nil
  }
}
