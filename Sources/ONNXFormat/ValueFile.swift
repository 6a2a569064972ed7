import COnnx
import ONNXGraph
import ONNXTensor

/// Files that hold one value: the `input_N.pb` and `output_N.pb` of ONNX test data.
package enum ValueFile {
  /// Which message a file holds; the file itself does not say.
  package enum Kind: Sendable {
    case tensor, sequence, optional, map

    /// For a value of this type.
    package init(_ type: ValueType?) {
      switch type?.kind {
      case .sequence: self = .sequence
      case .optional: self = .optional
      case .map: self = .map
      default: self = .tensor
      }
    }
  }

  package static func load(path: String, kind: Kind = .tensor) throws(ModelFormatError) -> (
    name: String?, value: RuntimeValue
  ) {
    try decode(FileMapping(path: path).view, kind: kind, path: path)
  }

  package static func decode(
    _ bytes: ByteView, kind: Kind, path: String? = nil
  ) throws(ModelFormatError) -> (name: String?, value: RuntimeValue) {
    let type =
      switch kind {
      case .tensor: onnx_tensor_type()
      case .sequence: onnx_sequence_type()
      case .optional: onnx_optional_type()
      case .map: onnx_map_type()
      }
    let message = try UnpackedMessage(type, bytes: bytes, location: path)
    defer { withExtendedLifetime(message) {} }
    let decoder = ValueDecoder(
      tensors: TensorDecoder(
        owner: bytes.owner, externalData: ExternalDataReader(modelPath: path, policy: .required)),
      path: path)
    switch kind {
    case .tensor:
      let tensor = message.root(as: Onnx__TensorProto.self)
      return (text(tensor.pointee.name), .tensor(try decoder.tensor(tensor)))
    case .sequence:
      let sequence = message.root(as: Onnx__SequenceProto.self)
      return (text(sequence.pointee.name), try decoder.sequence(sequence))
    case .optional:
      let optional = message.root(as: Onnx__OptionalProto.self)
      return (text(optional.pointee.name), try decoder.optional(optional))
    case .map:
      let map = message.root(as: Onnx__MapProto.self)
      return (text(map.pointee.name), try decoder.map(map))
    }
  }

  /// A TensorProto in wire form.
  package static func encode(_ tensor: Tensor, name: String?) throws(ModelFormatError) -> [UInt8] {
    let builder = try MessageBuilder()
    let literal = TensorLiteral(name: name, tensor)
    defer { withExtendedLifetime((builder, literal)) {} }
    return packed(try builder.tensor(literal, name: name))
  }
}

private struct ValueDecoder {
  let tensors: TensorDecoder
  let path: String?

  func tensor(_ proto: UnsafeMutablePointer<Onnx__TensorProto>) throws(ModelFormatError) -> Tensor {
    let literal = try tensors.literal(proto)
    do {
      return try literal.tensor()
    } catch {
      throw ModelFormatError(.damaged, error.message, at: path)
    }
  }

  func sequence(_ proto: UnsafeMutablePointer<Onnx__SequenceProto>) throws(ModelFormatError) -> RuntimeValue {
    let source = proto.pointee
    guard source.n_sparse_tensor_values == 0 else { throw sparse }
    var values: [RuntimeValue] = []
    for item in messages(source.tensor_values, source.n_tensor_values) { values.append(.tensor(try tensor(item))) }
    for item in messages(source.sequence_values, source.n_sequence_values) { values.append(try sequence(item)) }
    for item in messages(source.map_values, source.n_map_values) { values.append(try map(item)) }
    for item in messages(source.optional_values, source.n_optional_values) { values.append(try optional(item)) }
    return .sequence(values)
  }

  func optional(_ proto: UnsafeMutablePointer<Onnx__OptionalProto>) throws(ModelFormatError) -> RuntimeValue {
    let source = proto.pointee
    if let value = source.tensor_value { return .optional(.tensor(try tensor(value))) }
    if let value = source.sequence_value { return .optional(try sequence(value)) }
    if let value = source.map_value { return .optional(try map(value)) }
    if let value = source.optional_value { return .optional(try optional(value)) }
    guard source.sparse_tensor_value == nil else { throw sparse }
    return .optional(nil)
  }

  func map(_ proto: UnsafeMutablePointer<Onnx__MapProto>) throws(ModelFormatError) -> RuntimeValue {
    let source = proto.pointee
    let keys: Tensor
    if source.n_string_keys > 0 {
      let strings = UnsafeBufferPointer(start: source.string_keys, count: source.n_string_keys).map(binary)
      keys = Tensor(strings: strings, shape: [strings.count])
    } else {
      keys = Tensor(scalars(source.keys, source.n_keys) as [Int64], shape: [source.n_keys])
    }
    guard let values = source.values else { return .map(keys: keys, values: .sequence([])) }
    return .map(keys: keys, values: try sequence(values))
  }

  private var sparse: ModelFormatError {
    ModelFormatError(.notONNX, "holds sparse tensors, which have no run-time value here", at: path)
  }
}
