import COnnx
import ONNXGraph
import ONNXTensor

/// Turns TensorProtos into literals that view the file.
struct TensorDecoder {
  /// Keeps the file's bytes.
  let owner: AnyObject
  let externalData: ExternalDataReader?

  func literal(_ proto: UnsafeMutablePointer<Onnx__TensorProto>) throws(ModelFormatError) -> TensorLiteral {
    let tensor = proto.pointee
    var literal = TensorLiteral(
      name: text(tensor.name), dims: scalars(tensor.dims, tensor.n_dims),
      dataType: present(tensor.has_data_type, tensor.data_type))
    if tensor.has_raw_data != 0 {
      literal.raw = ByteView(
        UnsafeRawBufferPointer(start: tensor.raw_data.data, count: tensor.raw_data.len), owner: owner)
    }
    literal.floatData = scalars(tensor.float_data, tensor.n_float_data)
    literal.int32Data = scalars(tensor.int32_data, tensor.n_int32_data)
    literal.int64Data = scalars(tensor.int64_data, tensor.n_int64_data)
    literal.doubleData = scalars(tensor.double_data, tensor.n_double_data)
    literal.uint64Data = scalars(tensor.uint64_data, tensor.n_uint64_data)
    literal.stringData = UnsafeBufferPointer(start: tensor.string_data, count: tensor.n_string_data).map(binary)
    if let segment = tensor.segment?.pointee {
      var kept = TensorLiteral.Segment(
        begin: present(segment.has_begin, segment.begin), end: present(segment.has_end, segment.end))
      kept.unknownFields = unknownFields(segment.base)
      literal.segment = kept
    }
    literal.dataLocation = present(tensor.has_data_location, Int32(bitPattern: tensor.data_location.rawValue))
    literal.externalData = stringEntries(tensor.external_data, tensor.n_external_data)
    literal.docString = text(tensor.doc_string)
    literal.metadata = stringEntries(tensor.metadata_props, tensor.n_metadata_props)
    literal.unknownFields = unknownFields(tensor.base)
    if literal.isExternal, let externalData { literal.external = try externalData.bytes(of: literal) }
    return literal
  }

  func sparse(_ proto: UnsafeMutablePointer<Onnx__SparseTensorProto>) throws(ModelFormatError) -> SparseTensorLiteral {
    let tensor = proto.pointee
    var literal = SparseTensorLiteral(
      values: try optional(tensor.values), indices: try optional(tensor.indices),
      dims: scalars(tensor.dims, tensor.n_dims))
    literal.unknownFields = unknownFields(tensor.base)
    return literal
  }

  private func optional(_ proto: UnsafeMutablePointer<Onnx__TensorProto>?) throws(ModelFormatError) -> TensorLiteral? {
    guard let proto else { return nil }
    return try literal(proto)
  }
}
