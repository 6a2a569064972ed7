import COnnx
import ONNXGraph

extension MessageBuilder {
  func type(_ type: ValueType) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__TypeProto> {
    let message = try message(onnx__type_proto__init)
    message.pointee.denotation = try text(type.denotation)
    try unknown(type.unknownFields, &message.pointee.base)
    switch type.kind {
    case .none: break
    case .tensor(let tensor):
      let inner = try self.message(onnx__type_proto__tensor__init)
      set(&inner.pointee.has_elem_type, &inner.pointee.elem_type, tensor.elementType)
      inner.pointee.shape = try shape(tensor)
      try unknown(tensor.unknownFields, &inner.pointee.base)
      message.pointee.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
      message.pointee.tensor_type = inner
    case .sparseTensor(let tensor):
      let inner = try self.message(onnx__type_proto__sparse_tensor__init)
      set(&inner.pointee.has_elem_type, &inner.pointee.elem_type, tensor.elementType)
      inner.pointee.shape = try shape(tensor)
      try unknown(tensor.unknownFields, &inner.pointee.base)
      message.pointee.value_case = ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE
      message.pointee.sparse_tensor_type = inner
    case .sequence(let element):
      let inner = try self.message(onnx__type_proto__sequence__init)
      inner.pointee.elem_type = try optionalType(element)
      try unknown(type.kindUnknownFields, &inner.pointee.base)
      message.pointee.value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE
      message.pointee.sequence_type = inner
    case .optional(let element):
      let inner = try self.message(onnx__type_proto__optional__init)
      inner.pointee.elem_type = try optionalType(element)
      try unknown(type.kindUnknownFields, &inner.pointee.base)
      message.pointee.value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE
      message.pointee.optional_type = inner
    case .map(let keyType, let value):
      let inner = try self.message(onnx__type_proto__map__init)
      set(&inner.pointee.has_key_type, &inner.pointee.key_type, keyType)
      inner.pointee.value_type = try optionalType(value)
      try unknown(type.kindUnknownFields, &inner.pointee.base)
      message.pointee.value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE
      message.pointee.map_type = inner
    case .opaque(let domain, let name):
      let inner = try self.message(onnx__type_proto__opaque__init)
      inner.pointee.domain = try text(domain)
      inner.pointee.name = try text(name)
      try unknown(type.kindUnknownFields, &inner.pointee.base)
      message.pointee.value_case = ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE
      message.pointee.opaque_type = inner
    }
    return message
  }

  private func optionalType(_ type: ValueType?) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__TypeProto>? {
    guard let type else { return nil }
    return try self.type(type)
  }

  private func shape(
    _ type: ValueType.TensorType
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__TensorShapeProto>? {
    guard let dimensions = type.shape else { return nil }
    let shape = try message(onnx__tensor_shape_proto__init)
    (shape.pointee.n_dim, shape.pointee.dim) = try list(dimensions) { (item) throws(ModelFormatError) in
      try dimension(item)
    }
    try unknown(type.shapeUnknownFields, &shape.pointee.base)
    return shape
  }

  private func dimension(
    _ dimension: ValueType.Dimension
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__TensorShapeProto__Dimension> {
    let message = try message(onnx__tensor_shape_proto__dimension__init)
    message.pointee.denotation = try text(dimension.denotation)
    switch dimension.extent {
    case .unknown: break
    case .value(let value):
      message.pointee.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
      message.pointee.dim_value = value
    case .parameter(let name):
      message.pointee.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
      message.pointee.dim_param = try text(name)
    }
    try unknown(dimension.unknownFields, &message.pointee.base)
    return message
  }

  func port(_ port: Graph.Port) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__ValueInfoProto> {
    let message = try message(onnx__value_info_proto__init)
    message.pointee.name = port.info.hasName ? try text(port.value.name) : try nonEmptyText(port.value.name)
    message.pointee.type = try optionalType(port.info.type)
    message.pointee.doc_string = try text(port.info.docString)
    (message.pointee.n_metadata_props, message.pointee.metadata_props) = try entries(port.info.metadata)
    try unknown(port.info.unknownFields, &message.pointee.base)
    return message
  }
}
