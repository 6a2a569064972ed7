import COnnx
import ONNXGraph
import ONNXTensor

extension MessageBuilder {
  /// `name` replaces the literal's own.
  func tensor(
    _ literal: TensorLiteral, name: String?
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__TensorProto> {
    let message = try message(onnx__tensor_proto__init)
    message.pointee.name = try text(name)
    (message.pointee.n_dims, message.pointee.dims) = try scalars(literal.dims)
    set(&message.pointee.has_data_type, &message.pointee.data_type, literal.dataType)
    set(&message.pointee.has_raw_data, &message.pointee.raw_data, literal.raw.map { binary(viewing: $0) })
    (message.pointee.n_float_data, message.pointee.float_data) = try scalars(literal.floatData)
    (message.pointee.n_int32_data, message.pointee.int32_data) = try scalars(literal.int32Data)
    (message.pointee.n_int64_data, message.pointee.int64_data) = try scalars(literal.int64Data)
    (message.pointee.n_double_data, message.pointee.double_data) = try scalars(literal.doubleData)
    (message.pointee.n_uint64_data, message.pointee.uint64_data) = try scalars(literal.uint64Data)
    (message.pointee.n_string_data, message.pointee.string_data) = try binaries(literal.stringData)
    if let segment = literal.segment {
      let inner = try self.message(onnx__tensor_proto__segment__init)
      set(&inner.pointee.has_begin, &inner.pointee.begin, segment.begin)
      set(&inner.pointee.has_end, &inner.pointee.end, segment.end)
      try unknown(segment.unknownFields, &inner.pointee.base)
      message.pointee.segment = inner
    }
    set(
      &message.pointee.has_data_location, &message.pointee.data_location,
      literal.dataLocation.map { Onnx__TensorProto__DataLocation(rawValue: UInt32(bitPattern: $0)) })
    (message.pointee.n_external_data, message.pointee.external_data) = try entries(literal.externalData)
    message.pointee.doc_string = try text(literal.docString)
    (message.pointee.n_metadata_props, message.pointee.metadata_props) = try entries(literal.metadata)
    try unknown(literal.unknownFields, &message.pointee.base)
    return message
  }

  func sparse(
    _ literal: SparseTensorLiteral
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__SparseTensorProto> {
    let message = try message(onnx__sparse_tensor_proto__init)
    if let values = literal.values { message.pointee.values = try tensor(values, name: values.name) }
    if let indices = literal.indices { message.pointee.indices = try tensor(indices, name: indices.name) }
    (message.pointee.n_dims, message.pointee.dims) = try scalars(literal.dims)
    try unknown(literal.unknownFields, &message.pointee.base)
    return message
  }
}
