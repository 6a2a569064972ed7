import ONNXTensor

/// A `GraphProto`: the main graph, the body of a control-flow operator, or the body of a function.
///
/// `nodes` stays in the order of the file. Nodes of nested graphs may read values of the graphs around them.
package final class Graph {
  package var name: String?
  package internal(set) var nodes: [Node] = []
  package var inputs: [Port] = []
  package var outputs: [Port] = []
  /// `value_info` entries in file order.
  package var valueInfos: [Port] = []
  package private(set) var initializers: [Initializer] = []
  package var sparseInitializers: [SparseTensorLiteral] = []
  package var docString: String?
  package var metadata: [StringEntry] = []
  package var quantizationAnnotations: [OpaqueMessage] = []
  package var unknownFields: [UnknownField] = []

  private var initializerIndex: [ObjectIdentifier: Int] = [:]

  /// A value in the list of inputs, outputs or value_info, with what that list says of it.
  package struct Port {
    package var value: Value
    package var info: ValueInfo

    package init(_ value: Value, info: ValueInfo? = nil) {
      self.value = value
      self.info = info ?? ValueInfo(type: value.type)
    }
  }

  package struct Initializer {
    package let value: Value
    package var literal: TensorLiteral
  }

  package init(name: String? = nil) { self.name = name }

  // MARK: Initializers

  /// The constant that `value` is in this graph, if it is one. A graph input with an initializer (IR 3) counts.
  package func initializer(for value: Value) -> TensorLiteral? {
    initializerIndex[ObjectIdentifier(value)].map { initializers[$0].literal }
  }

  /// Adds an initializer; the literal takes the value's name when the graph is written.
  @discardableResult
  package func addInitializer(_ value: Value, _ literal: TensorLiteral) -> Value {
    initializerIndex[ObjectIdentifier(value)] = initializers.count
    initializers.append(Initializer(value: value, literal: literal))
    return value
  }

  /// Adds `tensor` under a new value of that name.
  @discardableResult
  package func addInitializer(named name: String, _ tensor: Tensor) -> Value {
    addInitializer(
      Value(name, type: .tensor(tensor.elementType, tensor.shape)), TensorLiteral(name: name, tensor))
  }

  package func replaceInitializer(_ value: Value, with literal: TensorLiteral) {
    guard let index = initializerIndex[ObjectIdentifier(value)] else { return }
    initializers[index].literal = literal
  }

  package func removeInitializers(where shouldRemove: (Value) -> Bool) {
    initializers.removeAll { shouldRemove($0.value) }
    initializerIndex.removeAll(keepingCapacity: true)
    for (index, item) in initializers.enumerated() { initializerIndex[ObjectIdentifier(item.value)] = index }
  }

  // MARK: Nodes

  package func append(_ node: Node) { nodes.append(node) }

  package func insert(_ newNodes: [Node], at index: Int) { nodes.insert(contentsOf: newNodes, at: index) }

  /// Removes and disconnects.
  package func remove(_ doomed: Set<Node>) {
    for node in doomed { node.disconnect() }
    nodes.removeAll { doomed.contains($0) }
  }

  package func setNodes(_ ordered: [Node]) { nodes = ordered }

  package func isInput(_ value: Value) -> Bool { inputs.contains { $0.value === value } }
  package func isOutput(_ value: Value) -> Bool { outputs.contains { $0.value === value } }

  /// Graph inputs that the caller must give: those without an initializer.
  package var requiredInputs: [Value] { inputs.map(\.value).filter { initializer(for: $0) == nil } }

  /// Every value that this graph defines or mentions, nested graphs left out; each once, in a stable order.
  package var values: [Value] {
    var seen = Set<ObjectIdentifier>()
    var result: [Value] = []
    func visit(_ value: Value?) {
      if let value, seen.insert(ObjectIdentifier(value)).inserted { result.append(value) }
    }
    inputs.forEach { visit($0.value) }
    initializers.forEach { visit($0.value) }
    for node in nodes {
      node.inputs.forEach(visit)
      node.outputs.forEach(visit)
    }
    outputs.forEach { visit($0.value) }
    return result
  }

  /// Redirects every node input that reads `old` (nested graphs included) to `new`; graph outputs are left alone.
  package func replaceUses(of old: Value, with new: Value, where shouldReplace: (Value.Use) -> Bool = { _ in true }) {
    for use in old.uses where shouldReplace(use) { use.node.setInput(use.index, to: new) }
  }

  /// This graph and all graphs nested in it, outermost first.
  package var allGraphs: [Graph] { [self] + nodes.flatMap { $0.subgraphs.flatMap(\.allGraphs) } }
}
