/// A `NodeProto`. Absent optional inputs and outputs are nil.
package final class Node {
  package var opType: String
  /// As stored; nil and "" both mean `ai.onnx`.
  package var domain: String?
  package var overload: String?
  package var name: String?
  package private(set) var inputs: [Value?]
  package private(set) var outputs: [Value?]
  package var attributes: [Attribute]
  package var docString: String?
  package var metadata: [StringEntry] = []
  package var deviceConfigurations: [OpaqueMessage] = []
  package var unknownFields: [UnknownField] = []

  package init(
    _ opType: String, domain: String? = nil, name: String? = nil, inputs: [Value?], outputs: [Value?],
    attributes: [Attribute] = []
  ) {
    self.opType = opType
    self.domain = domain
    self.name = name
    self.inputs = inputs
    self.outputs = outputs
    self.attributes = attributes
    for (index, value) in inputs.enumerated() { value?.uses.append(Value.Use(node: self, index: index)) }
    for value in outputs { value?.producer = self }
  }

  /// The domain with `ai.onnx` spelled "".
  package var canonicalDomain: String { domain == nil || domain == "ai.onnx" ? "" : domain ?? "" }

  package func setInput(_ index: Int, to value: Value?) {
    inputs[index]?.uses.removeAll { $0.node === self && $0.index == index }
    inputs[index] = value
    value?.uses.append(Value.Use(node: self, index: index))
  }

  package func setInputs(_ values: [Value?]) {
    for value in inputs { value?.uses.removeAll { $0.node === self } }
    inputs = values
    for (index, value) in values.enumerated() { value?.uses.append(Value.Use(node: self, index: index)) }
  }

  package func setOutput(_ index: Int, to value: Value?) {
    if outputs[index]?.producer === self { outputs[index]?.producer = nil }
    outputs[index] = value
    value?.producer = self
  }

  /// Gives up all uses and outputs; the node must then be dropped from its graph.
  package func disconnect() {
    for value in inputs { value?.uses.removeAll { $0.node === self } }
    for value in outputs where value?.producer === self { value?.producer = nil }
    for graph in subgraphs { for node in graph.nodes { node.disconnect() } }
  }

  package func attribute(_ name: String) -> Attribute.Payload? { attributes.first { $0.name == name }?.payload }

  package func setAttribute(_ attribute: Attribute) {
    if let index = attributes.firstIndex(where: { $0.name == attribute.name }) {
      attributes[index] = attribute
    } else {
      attributes.append(attribute)
    }
  }

  package func removeAttribute(_ name: String) { attributes.removeAll { $0.name == name } }

  package func input(_ index: Int) -> Value? { index < inputs.count ? inputs[index] : nil }
  package func output(_ index: Int) -> Value? { index < outputs.count ? outputs[index] : nil }

  package func int(_ name: String) -> Int? {
    if case .int(let value) = attribute(name) { Int(value) } else { nil }
  }
  package func ints(_ name: String) -> [Int]? {
    if case .ints(let values) = attribute(name) { values.map(Int.init) } else { nil }
  }
  package func float(_ name: String) -> Float? {
    if case .float(let value) = attribute(name) { value } else { nil }
  }
  package func string(_ name: String) -> String? {
    if case .string(let bytes) = attribute(name) { String(decoding: bytes, as: UTF8.self) } else { nil }
  }

  /// Graph-valued attributes in order.
  package var subgraphs: [Graph] {
    attributes.flatMap { attribute -> [Graph] in
      switch attribute.payload {
      case .graph(let graph): [graph]
      case .graphs(let graphs): graphs
      default: []
      }
    }
  }
}

extension Node: Hashable {
  package static func == (left: Node, right: Node) -> Bool { left === right }
  package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

extension Node {
  /// How messages name the node: its name, else its operator and first output, which are stable too.
  package var label: String {
    if let name, !name.isEmpty { return name }
    return "\(opType)(\(outputs.lazy.compactMap { $0?.name }.first ?? ""))"
  }
}
