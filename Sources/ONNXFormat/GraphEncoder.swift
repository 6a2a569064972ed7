import COnnx
import ONNXGraph
import ONNXTensor

/// A model as a protobuf-c tree, as long as the object lives. Payloads point into the model's own storage.
final class ModelTree {
  let builder: MessageBuilder
  let root: UnsafeMutablePointer<Onnx__ModelProto>
  /// Initializers of all graphs but the training ones, with their `raw_data`.
  private(set) var initializers: [(UnsafeMutablePointer<Onnx__TensorProto>, raw: ByteView?)] = []
  private var unpacked: [UnpackedMessage] = []
  let model: Model

  init(_ model: Model) throws(ModelFormatError) {
    self.model = model
    builder = try MessageBuilder()
    root = try builder.message(onnx__model_proto__init)
    try fill()
  }

  private func fill() throws(ModelFormatError) {
    builder.set(&root.pointee.has_ir_version, &root.pointee.ir_version, model.irVersion)
    (root.pointee.n_opset_import, root.pointee.opset_import) = try builder.list(model.opsetImports) {
      (item) throws(ModelFormatError) in try builder.opsetImport(item)
    }
    root.pointee.producer_name = try builder.text(model.producerName)
    root.pointee.producer_version = try builder.text(model.producerVersion)
    root.pointee.domain = try builder.text(model.domain)
    builder.set(&root.pointee.has_model_version, &root.pointee.model_version, model.modelVersion)
    root.pointee.doc_string = try builder.text(model.docString)
    root.pointee.graph = try graph(model.graph)
    (root.pointee.n_metadata_props, root.pointee.metadata_props) = try builder.entries(model.metadata)
    (root.pointee.n_training_info, root.pointee.training_info) = try builder.list(model.trainingInfo) {
      (item) throws(ModelFormatError) in
      try builder.message(onnx_training_info_type(), from: item, as: Onnx__TrainingInfoProto.self, keeping: &unpacked)
    }
    (root.pointee.n_functions, root.pointee.functions) = try builder.list(model.functions) {
      (item) throws(ModelFormatError) in try function(item)
    }
    (root.pointee.n_configuration, root.pointee.configuration) = try builder.list(model.configurations) {
      (item) throws(ModelFormatError) in
      try builder.message(
        onnx_device_configuration_type(), from: item, as: Onnx__DeviceConfigurationProto.self, keeping: &unpacked)
    }
    try builder.unknown(model.unknownFields, &root.pointee.base)
  }

  private func graph(_ graph: Graph) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__GraphProto> {
    let message = try builder.message(onnx__graph_proto__init)
    message.pointee.name = try builder.text(graph.name)
    (message.pointee.n_node, message.pointee.node) = try builder.list(graph.nodes) {
      (item) throws(ModelFormatError) in try node(item)
    }
    (message.pointee.n_initializer, message.pointee.initializer) = try builder.list(graph.initializers) {
      (item) throws(ModelFormatError) in try initializer(item)
    }
    (message.pointee.n_sparse_initializer, message.pointee.sparse_initializer) =
      try builder.list(graph.sparseInitializers) { (item) throws(ModelFormatError) in try builder.sparse(item) }
    message.pointee.doc_string = try builder.text(graph.docString)
    (message.pointee.n_input, message.pointee.input) = try ports(graph.inputs)
    (message.pointee.n_output, message.pointee.output) = try ports(graph.outputs)
    (message.pointee.n_value_info, message.pointee.value_info) = try ports(graph.valueInfos)
    (message.pointee.n_quantization_annotation, message.pointee.quantization_annotation) =
      try builder.list(graph.quantizationAnnotations) { (item) throws(ModelFormatError) in
        try builder.message(
          onnx_tensor_annotation_type(), from: item, as: Onnx__TensorAnnotation.self, keeping: &unpacked)
      }
    (message.pointee.n_metadata_props, message.pointee.metadata_props) = try builder.entries(graph.metadata)
    try builder.unknown(graph.unknownFields, &message.pointee.base)
    return message
  }

  private func ports(
    _ ports: [Graph.Port]
  ) throws(ModelFormatError) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<Onnx__ValueInfoProto>?>?) {
    try builder.list(ports) { (item) throws(ModelFormatError) in try builder.port(item) }
  }

  private func initializer(
    _ item: Graph.Initializer
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__TensorProto> {
    let name = item.literal.name == nil && item.value.name.isEmpty ? nil : item.value.name
    let message = try builder.tensor(item.literal, name: name)
    initializers.append((message, item.literal.raw))
    return message
  }

  private func function(_ function: Function) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__FunctionProto> {
    let message = try builder.message(onnx__function_proto__init)
    message.pointee.name = try builder.text(function.name)
    message.pointee.domain = try builder.text(function.domain)
    message.pointee.overload = try builder.text(function.overload)
    (message.pointee.n_input, message.pointee.input) = try builder.texts(function.body.inputs.map(\.value.name))
    (message.pointee.n_output, message.pointee.output) = try builder.texts(function.body.outputs.map(\.value.name))
    (message.pointee.n_attribute, message.pointee.attribute) = try builder.texts(function.attributes)
    (message.pointee.n_attribute_proto, message.pointee.attribute_proto) =
      try builder.list(function.attributeDefaults) { (item) throws(ModelFormatError) in try attribute(item) }
    (message.pointee.n_node, message.pointee.node) = try builder.list(function.body.nodes) {
      (item) throws(ModelFormatError) in try node(item)
    }
    message.pointee.doc_string = try builder.text(function.docString)
    (message.pointee.n_opset_import, message.pointee.opset_import) = try builder.list(function.opsetImports) {
      (item) throws(ModelFormatError) in try builder.opsetImport(item)
    }
    (message.pointee.n_value_info, message.pointee.value_info) = try ports(function.body.valueInfos)
    (message.pointee.n_metadata_props, message.pointee.metadata_props) = try builder.entries(function.metadata)
    try builder.unknown(function.unknownFields, &message.pointee.base)
    return message
  }

  private func node(_ node: Node) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__NodeProto> {
    let message = try builder.message(onnx__node_proto__init)
    (message.pointee.n_input, message.pointee.input) = try builder.texts(node.inputs.map { $0?.name ?? "" })
    (message.pointee.n_output, message.pointee.output) = try builder.texts(node.outputs.map { $0?.name ?? "" })
    message.pointee.name = try builder.text(node.name)
    message.pointee.op_type = try builder.nonEmptyText(node.opType)
    message.pointee.domain = try builder.text(node.domain)
    message.pointee.overload = try builder.text(node.overload)
    (message.pointee.n_attribute, message.pointee.attribute) = try builder.list(node.attributes) {
      (item) throws(ModelFormatError) in try attribute(item)
    }
    message.pointee.doc_string = try builder.text(node.docString)
    (message.pointee.n_metadata_props, message.pointee.metadata_props) = try builder.entries(node.metadata)
    (message.pointee.n_device_configurations, message.pointee.device_configurations) =
      try builder.list(node.deviceConfigurations) { (item) throws(ModelFormatError) in
        try builder.message(
          onnx_node_device_configuration_type(), from: item, as: Onnx__NodeDeviceConfigurationProto.self,
          keeping: &unpacked)
      }
    try builder.unknown(node.unknownFields, &message.pointee.base)
    return message
  }

  private func attribute(
    _ attribute: Attribute
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__AttributeProto> {
    let message = try builder.message(onnx__attribute_proto__init)
    message.pointee.name = try builder.nonEmptyText(attribute.name)
    message.pointee.ref_attr_name = try builder.text(attribute.referenceName)
    message.pointee.doc_string = try builder.text(attribute.docString)
    builder.set(
      &message.pointee.has_type, &message.pointee.type,
      attribute.type.map { Onnx__AttributeProto__AttributeType(rawValue: UInt32(bitPattern: $0)) })
    try builder.unknown(attribute.unknownFields, &message.pointee.base)
    switch attribute.payload {
    case .none: break
    case .float(let value):
      // The sign of a zero is information, so the pattern decides.
      if attribute.isDefaultOmitted && value.bitPattern == 0 { break }
      builder.set(&message.pointee.has_f, &message.pointee.f, value)
    case .int(let value):
      if attribute.isDefaultOmitted && value == 0 { break }
      builder.set(&message.pointee.has_i, &message.pointee.i, value)
    case .string(let value):
      if attribute.isDefaultOmitted && value.isEmpty { break }
      builder.set(&message.pointee.has_s, &message.pointee.s, try builder.binary(value))
    case .tensor(let literal): message.pointee.t = try builder.tensor(literal, name: literal.name)
    case .graph(let graph): message.pointee.g = try self.graph(graph)
    case .sparseTensor(let literal): message.pointee.sparse_tensor = try builder.sparse(literal)
    case .type(let type): message.pointee.tp = try builder.type(type)
    case .floats(let values): (message.pointee.n_floats, message.pointee.floats) = try builder.scalars(values)
    case .ints(let values): (message.pointee.n_ints, message.pointee.ints) = try builder.scalars(values)
    case .strings(let values): (message.pointee.n_strings, message.pointee.strings) = try builder.binaries(values)
    case .tensors(let literals):
      (message.pointee.n_tensors, message.pointee.tensors) = try builder.list(literals) {
        (item) throws(ModelFormatError) in try builder.tensor(item, name: item.name)
      }
    case .graphs(let graphs):
      (message.pointee.n_graphs, message.pointee.graphs) = try builder.list(graphs) {
        (item) throws(ModelFormatError) in try graph(item)
      }
    case .sparseTensors(let literals):
      (message.pointee.n_sparse_tensors, message.pointee.sparse_tensors) = try builder.list(literals) {
        (item) throws(ModelFormatError) in try builder.sparse(item)
      }
    case .types(let types):
      (message.pointee.n_type_protos, message.pointee.type_protos) = try builder.list(types) {
        (item) throws(ModelFormatError) in try builder.type(item)
      }
    }
    return message
  }
}
