extension Function {
  /// A copy of the body for one call: attribute references take the caller's attributes, else the defaults;
  /// an attribute that neither gives is left out.
  package func instantiated(for call: Node) -> Graph {
    var values: [String: Attribute] = [:]
    for attribute in attributeDefaults { values[attribute.name] = attribute }
    for attribute in call.attributes { values[attribute.name] = attribute }
    var cloner = GraphCloner(substituting: values)
    return cloner.clone(body)
  }
}

extension Graph {
  /// A copy with values and nodes of its own; values of surrounding graphs are shared.
  package func cloned() -> Graph {
    var cloner = GraphCloner(substituting: [:])
    return cloner.clone(self)
  }
}

private struct GraphCloner {
  let substitutions: [String: Attribute]
  private var copies: [ObjectIdentifier: Value] = [:]

  init(substituting substitutions: [String: Attribute]) { self.substitutions = substitutions }

  mutating func clone(_ graph: Graph) -> Graph {
    let result = Graph(name: graph.name)
    for port in graph.inputs { define(port.value) }
    for item in graph.initializers { define(item.value) }
    for node in graph.nodes { node.outputs.forEach { if let value = $0 { define(value) } } }
    result.inputs = graph.inputs.map { Graph.Port(map($0.value), info: $0.info) }
    for item in graph.initializers { result.addInitializer(map(item.value), item.literal) }
    result.sparseInitializers = graph.sparseInitializers
    for node in graph.nodes {
      let copy = Node(
        node.opType, domain: node.domain, name: node.name, inputs: node.inputs.map { $0.map { map($0) } },
        outputs: node.outputs.map { $0.map { map($0) } },
        attributes: node.attributes.compactMap { self.clone($0) })
      copy.overload = node.overload
      copy.docString = node.docString
      copy.metadata = node.metadata
      copy.deviceConfigurations = node.deviceConfigurations
      copy.unknownFields = node.unknownFields
      result.append(copy)
    }
    result.outputs = graph.outputs.map { Graph.Port(map($0.value), info: $0.info) }
    result.valueInfos = graph.valueInfos.map { Graph.Port(map($0.value), info: $0.info) }
    result.docString = graph.docString
    result.metadata = graph.metadata
    result.quantizationAnnotations = graph.quantizationAnnotations
    result.unknownFields = graph.unknownFields
    return result
  }

  private mutating func define(_ value: Value) {
    let key = ObjectIdentifier(value)
    if copies[key] == nil { copies[key] = Value(value.name, type: value.type) }
  }

  private func map(_ value: Value) -> Value { copies[ObjectIdentifier(value)] ?? value }

  private mutating func clone(_ attribute: Attribute) -> Attribute? {
    var copy = attribute
    if let reference = attribute.referenceName, !substitutions.isEmpty || !reference.isEmpty {
      guard let value = substitutions[reference] else { return nil }
      copy.payload = value.payload
      copy.referenceName = nil
      return copy
    }
    switch attribute.payload {
    case .graph(let graph): copy.payload = .graph(clone(graph))
    case .graphs(let graphs): copy.payload = .graphs(graphs.map { clone($0) })
    default: break
    }
    return copy
  }
}
