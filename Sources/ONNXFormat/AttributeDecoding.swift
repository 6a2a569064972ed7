import COnnx
import ONNXGraph
import ONNXTensor

extension GraphDecoder {
  /// The payload is the field that `type` names; without a type, the first field that is there. Whatever else the message
  /// holds is kept in wire form among the unknown fields.
  func attribute(
    _ proto: UnsafeMutablePointer<Onnx__AttributeProto>, in scope: NameScope
  ) throws(ModelFormatError) -> Attribute {
    let source = proto.pointee
    var filled: [Int32] = []
    if source.has_f != 0 { filled.append(1) }
    if source.has_i != 0 { filled.append(2) }
    if source.has_s != 0 { filled.append(3) }
    if source.t != nil { filled.append(4) }
    if source.g != nil { filled.append(5) }
    if source.n_floats > 0 { filled.append(6) }
    if source.n_ints > 0 { filled.append(7) }
    if source.n_strings > 0 { filled.append(8) }
    if source.n_tensors > 0 { filled.append(9) }
    if source.n_graphs > 0 { filled.append(10) }
    if source.sparse_tensor != nil { filled.append(11) }
    if source.n_sparse_tensors > 0 { filled.append(12) }
    if source.tp != nil { filled.append(13) }
    if source.n_type_protos > 0 { filled.append(14) }

    let type = present(source.has_type, Int32(bitPattern: source.type.rawValue))
    let declared = type.flatMap { (1...14).contains($0) ? $0 : nil }
    let chosen = declared ?? filled.first
    var attribute = Attribute(text(source.name) ?? "", .none)
    attribute.type = type
    attribute.referenceName = text(source.ref_attr_name)
    attribute.docString = text(source.doc_string)
    attribute.unknownFields = unknownFields(source.base)
    if source.name != nil && attribute.name.isEmpty { attribute.unknownFields.append(.emptyText(tag: 1)) }
    if let chosen {
      attribute.payload = try payload(chosen, source, in: scope)
      let isScalar = (1...3).contains(chosen)
      if isScalar && !filled.contains(chosen) {
        // A reference has no value of its own; elsewhere a writer left out a zero.
        if attribute.referenceName != nil { attribute.payload = .none } else { attribute.isDefaultOmitted = true }
      }
    }
    let extras = filled.filter { $0 != chosen }
    if !extras.isEmpty { attribute.unknownFields += wireFields(packed(only: extras, of: source)) }
    return attribute
  }

  private func payload(
    _ type: Int32, _ source: Onnx__AttributeProto, in scope: NameScope
  ) throws(ModelFormatError) -> Attribute.Payload {
    switch type {
    case 1: return .float(source.f)
    case 2: return .int(source.i)
    case 3: return .string(binary(source.s))
    case 4:
      guard let tensor = source.t else { return .none }
      return .tensor(try tensors.literal(tensor))
    case 5:
      guard let graph = source.g else { return .none }
      return .graph(try self.graph(graph, in: scope))
    case 6: return .floats(scalars(source.floats, source.n_floats))
    case 7: return .ints(scalars(source.ints, source.n_ints))
    case 8: return .strings(UnsafeBufferPointer(start: source.strings, count: source.n_strings).map(binary))
    case 9:
      var all: [TensorLiteral] = []
      for tensor in messages(source.tensors, source.n_tensors) { all.append(try tensors.literal(tensor)) }
      return .tensors(all)
    case 10:
      var all: [Graph] = []
      for graph in messages(source.graphs, source.n_graphs) { all.append(try self.graph(graph, in: scope)) }
      return .graphs(all)
    case 11:
      guard let tensor = source.sparse_tensor else { return .none }
      return .sparseTensor(try tensors.sparse(tensor))
    case 12:
      var all: [SparseTensorLiteral] = []
      for tensor in messages(source.sparse_tensors, source.n_sparse_tensors) { all.append(try tensors.sparse(tensor)) }
      return .sparseTensors(all)
    case 13: return source.tp.map { .type(ValueType($0)) } ?? .none
    case 14: return .types(messages(source.type_protos, source.n_type_protos).map { ValueType($0) })
    default: return .none
    }
  }

  /// The value fields of the given types alone, in wire form.
  private func packed(only types: [Int32], of source: Onnx__AttributeProto) -> [UInt8] {
    var copy = Onnx__AttributeProto()
    onnx__attribute_proto__init(&copy)
    for type in types {
      switch type {
      case 1: (copy.has_f, copy.f) = (1, source.f)
      case 2: (copy.has_i, copy.i) = (1, source.i)
      case 3: (copy.has_s, copy.s) = (1, source.s)
      case 4: copy.t = source.t
      case 5: copy.g = source.g
      case 6: (copy.n_floats, copy.floats) = (source.n_floats, source.floats)
      case 7: (copy.n_ints, copy.ints) = (source.n_ints, source.ints)
      case 8: (copy.n_strings, copy.strings) = (source.n_strings, source.strings)
      case 9: (copy.n_tensors, copy.tensors) = (source.n_tensors, source.tensors)
      case 10: (copy.n_graphs, copy.graphs) = (source.n_graphs, source.graphs)
      case 11: copy.sparse_tensor = source.sparse_tensor
      case 12: (copy.n_sparse_tensors, copy.sparse_tensors) = (source.n_sparse_tensors, source.sparse_tensors)
      case 13: copy.tp = source.tp
      default: (copy.n_type_protos, copy.type_protos) = (source.n_type_protos, source.type_protos)
      }
    }
    return withUnsafeMutablePointer(to: &copy) { ONNXFormat.packed($0) }
  }
}
