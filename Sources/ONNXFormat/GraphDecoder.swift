import COnnx
import ONNXGraph
import ONNXTensor

/// The names of one graph, and the graph around it.
final class NameScope {
  private var values: [String: Value] = [:]
  private let parent: NameScope?

  init(parent: NameScope?) { self.parent = parent }

  /// The value that this graph defines under `name`, made on first mention. Empty names stay apart from each other.
  func define(_ name: String) -> Value {
    if let known = values[name] { return known }
    let value = Value(name)
    if !name.isEmpty { values[name] = value }
    return value
  }

  /// The value that `name` means here: of this graph, else of the nearest around it, else one that nothing defines.
  func resolve(_ name: String) -> Value {
    var scope: NameScope? = self
    while let current = scope {
      if let known = current.values[name] { return known }
      scope = current.parent
    }
    return define(name)
  }

  func owns(_ value: Value) -> Bool { values[value.name] === value }
}

/// Builds graphs, nested ones included, from protobuf-c's tree.
struct GraphDecoder {
  let tensors: TensorDecoder

  func graph(
    _ proto: UnsafeMutablePointer<Onnx__GraphProto>, in parent: NameScope?
  ) throws(ModelFormatError) -> Graph {
    let source = proto.pointee
    let graph = Graph(name: text(source.name))
    let scope = NameScope(parent: parent)

    for info in messages(source.input, source.n_input) {
      graph.inputs.append(port(info, scope.define(text(info.pointee.name) ?? ""), scope))
    }
    for tensor in messages(source.initializer, source.n_initializer) {
      let literal = try tensors.literal(tensor)
      graph.addInitializer(scope.define(literal.name ?? ""), literal)
    }
    for tensor in messages(source.sparse_initializer, source.n_sparse_initializer) {
      let literal = try tensors.sparse(tensor)
      if let name = literal.values?.name { _ = scope.define(name) }
      graph.sparseInitializers.append(literal)
    }
    let nodes = messages(source.node, source.n_node)
    defineOutputs(of: nodes, in: scope)
    for info in messages(source.output, source.n_output) {
      graph.outputs.append(port(info, scope.resolve(text(info.pointee.name) ?? ""), scope))
    }
    for info in messages(source.value_info, source.n_value_info) {
      graph.valueInfos.append(port(info, scope.resolve(text(info.pointee.name) ?? ""), scope))
    }
    for node in nodes { graph.append(try self.node(node, in: scope)) }

    graph.docString = text(source.doc_string)
    graph.metadata = stringEntries(source.metadata_props, source.n_metadata_props)
    graph.quantizationAnnotations = messages(source.quantization_annotation, source.n_quantization_annotation)
      .map { opaque($0) }
    graph.unknownFields = unknownFields(source.base)
    return graph
  }

  func function(_ proto: UnsafeMutablePointer<Onnx__FunctionProto>) throws(ModelFormatError) -> Function {
    let source = proto.pointee
    let body = Graph()
    let scope = NameScope(parent: nil)
    let untyped = ValueInfo(type: nil)
    for name in texts(source.input, source.n_input) {
      body.inputs.append(Graph.Port(scope.define(name), info: untyped))
    }
    let nodes = messages(source.node, source.n_node)
    defineOutputs(of: nodes, in: scope)
    for name in texts(source.output, source.n_output) {
      body.outputs.append(Graph.Port(scope.resolve(name), info: untyped))
    }
    for info in messages(source.value_info, source.n_value_info) {
      body.valueInfos.append(port(info, scope.resolve(text(info.pointee.name) ?? ""), scope))
    }
    for node in nodes { body.append(try self.node(node, in: scope)) }

    let function = Function(body: body)
    function.name = text(source.name)
    function.domain = text(source.domain)
    function.overload = text(source.overload)
    function.attributes = texts(source.attribute, source.n_attribute)
    for attribute in messages(source.attribute_proto, source.n_attribute_proto) {
      function.attributeDefaults.append(try self.attribute(attribute, in: scope))
    }
    function.opsetImports = messages(source.opset_import, source.n_opset_import).map(opsetImport)
    function.docString = text(source.doc_string)
    function.metadata = stringEntries(source.metadata_props, source.n_metadata_props)
    function.unknownFields = unknownFields(source.base)
    return function
  }

  private func defineOutputs(of nodes: [UnsafeMutablePointer<Onnx__NodeProto>], in scope: NameScope) {
    for node in nodes {
      for name in texts(node.pointee.output, node.pointee.n_output) where !name.isEmpty { _ = scope.define(name) }
    }
  }

  private func port(
    _ proto: UnsafeMutablePointer<Onnx__ValueInfoProto>, _ value: Value, _ scope: NameScope
  ) -> Graph.Port {
    let info = ValueInfo(proto)
    if value.type == nil && scope.owns(value) { value.type = info.type }
    return Graph.Port(value, info: info)
  }

  private func node(
    _ proto: UnsafeMutablePointer<Onnx__NodeProto>, in scope: NameScope
  ) throws(ModelFormatError) -> Node {
    let source = proto.pointee
    var attributes: [Attribute] = []
    for attribute in messages(source.attribute, source.n_attribute) {
      attributes.append(try self.attribute(attribute, in: scope))
    }
    let node = Node(
      text(source.op_type) ?? "", domain: text(source.domain), name: text(source.name),
      inputs: texts(source.input, source.n_input).map { $0.isEmpty ? nil : scope.resolve($0) },
      outputs: texts(source.output, source.n_output).map { $0.isEmpty ? nil : scope.define($0) },
      attributes: attributes)
    node.overload = text(source.overload)
    node.docString = text(source.doc_string)
    node.metadata = stringEntries(source.metadata_props, source.n_metadata_props)
    node.deviceConfigurations = messages(source.device_configurations, source.n_device_configurations)
      .map { opaque($0) }
    node.unknownFields = unknownFields(source.base)
    if source.op_type != nil && node.opType.isEmpty { node.unknownFields.append(.emptyText(tag: 4)) }
    return node
  }
}

extension UnknownField {
  /// A text field that is present and empty, where the graph has no place for the difference to an absent one.
  static func emptyText(tag: UInt32) -> UnknownField { UnknownField(tag: tag, wireType: 2, bytes: [0]) }
}
