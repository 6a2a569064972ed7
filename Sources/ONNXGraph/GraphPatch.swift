import ONNXTensor

/// Why something was done to a graph: the rule, its reason in words, and what it was done to.
package struct JournalEntry: Sendable, Hashable, CustomStringConvertible {
  package enum Subject: Sendable, Hashable {
    case node(String)
    case tensor(String)
    case model
  }

  package var rule: String
  package var reason: String
  package var subject: Subject
  /// What was done, in a few words.
  package var action: String

  package init(rule: String, reason: String, subject: Subject, action: String = "") {
    self.rule = rule
    self.reason = reason
    self.subject = subject
    self.action = action
  }

  package var description: String {
    let what =
      switch subject {
      case .node(let name): "node '\(name)'"
      case .tensor(let name): "tensor '\(name)'"
      case .model: "model"
      }
    return "\(rule) \(what): \(action.isEmpty ? "" : action + ", ")\(reason)"
  }
}

/// A node that does not exist yet: it takes part in no use until the patch is applied.
package struct NodeBlueprint {
  package var opType: String
  package var domain: String?
  package var name: String?
  package var inputs: [Value?]
  package var outputs: [Value?]
  package var attributes: [Attribute]

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
  }
}

/// Edits of one graph, collected with their reasons and applied all or not at all.
///
/// Edits take effect in the order in which they were added. After them the nodes are put into topological order, kept as
/// they stand where that is one already; value_info of values that are gone goes too. A patch whose result breaks a rule
/// of `GraphVerifier` that held before is undone and throws.
package struct GraphPatch {
  package enum Position {
    case before(Node)
    case after(Node)
    case front
    case back
  }

  package enum Edit {
    case insert(NodeBlueprint, Position)
    case remove(Node)
    case setInput(Node, Int, Value?)
    case setInputs(Node, [Value?])
    case setOutput(Node, Int, Value?)
    case setAttributes(Node, [Attribute])
    case setOperator(Node, opType: String)
    case addInitializer(Value, TensorLiteral)
    case replaceInitializer(Value, TensorLiteral)
    case removeInitializer(Value)
    case removeGraphInput(Value)
    case setGraphOutput(Int, Value)
    case setOpset(domain: String, version: Int)
    case setIRVersion(Int)
    case setMetadata(key: String, value: String)
  }

  package let model: Model
  package let graph: Graph
  package private(set) var edits: [Edit] = []
  package private(set) var journal: [JournalEntry] = []

  package init(_ model: Model, graph: Graph? = nil) {
    self.model = model
    self.graph = graph ?? model.graph
  }

  package var isEmpty: Bool { edits.isEmpty }

  /// Adds edits that belong together, with their one reason.
  package mutating func add(_ entry: JournalEntry, _ newEdits: Edit...) { add(entry, newEdits) }

  package mutating func add(_ entry: JournalEntry, _ newEdits: [Edit]) {
    edits += newEdits
    journal.append(entry)
  }

  /// Adds edits to what the last entry of the journal says.
  package mutating func append(_ newEdits: Edit...) { edits += newEdits }

  /// Records a decision that changes nothing.
  package mutating func note(_ entry: JournalEntry) { journal.append(entry) }

  /// Applies all edits and gives the journal.
  @discardableResult
  package func apply() throws(GraphError) -> [JournalEntry] {
    guard !edits.isEmpty else { return journal }
    let before = Set(GraphVerifier.violations(in: model))
    var transaction = Transaction(model: model, graph: graph)
    do throws(GraphError) {
      for edit in edits { try transaction.perform(edit) }
      try transaction.finish()
      if let fresh = GraphVerifier.violations(in: model).first(where: { !before.contains($0) }) {
        throw GraphError(.badPatch, "a patch would break the graph: \(fresh)")
      }
    } catch {
      transaction.undo()
      throw error
    }
    return journal
  }
}

/// Performs edits and knows how to take them back.
private struct Transaction {
  let model: Model
  let graph: Graph

  private struct NodeState {
    let inputs: [Value?]
    let outputs: [Value?]
    let attributes: [Attribute]
    let opType: String
  }

  private let nodes: [Node]
  private let inputs: [Graph.Port]
  private let outputs: [Graph.Port]
  private let valueInfos: [Graph.Port]
  private let initializers: [Graph.Initializer]
  private let opsetImports: [OpsetImport]
  private let irVersion: Int64?
  private let metadata: [StringEntry]
  private let members: Set<Node>
  private var touched: [(Node, NodeState)] = []
  private var touchedSet = Set<Node>()
  private var created = Set<Node>()
  private var removed = Set<Node>()
  private var removedInitializers = Set<Value>()
  private var front: [Node] = []
  private var back: [Node] = []
  private var before: [Node: [Node]] = [:]
  private var after: [Node: [Node]] = [:]

  init(model: Model, graph: Graph) {
    self.model = model
    self.graph = graph
    nodes = graph.nodes
    inputs = graph.inputs
    outputs = graph.outputs
    valueInfos = graph.valueInfos
    initializers = graph.initializers
    opsetImports = model.opsetImports
    irVersion = model.irVersion
    metadata = model.metadata
    members = Set(graph.nodes)
  }

  mutating func perform(_ edit: GraphPatch.Edit) throws(GraphError) {
    switch edit {
    case .insert(let blueprint, let position): try insert(blueprint, position)
    case .remove(let node):
      try touch(node)
      guard removed.insert(node).inserted else { throw fault("node '\(node.name ?? node.opType)' is removed twice") }
    case .setInput(let node, let index, let value):
      try touch(node)
      guard node.inputs.indices.contains(index) else { throw fault("'\(node.name ?? "")' has no input \(index)") }
      node.setInput(index, to: value)
    case .setInputs(let node, let values):
      try touch(node)
      node.setInputs(values)
    case .setOutput(let node, let index, let value):
      try touch(node)
      guard node.outputs.indices.contains(index) else { throw fault("'\(node.name ?? "")' has no output \(index)") }
      node.setOutput(index, to: value)
    case .setAttributes(let node, let attributes):
      try touch(node)
      node.attributes = attributes
    case .setOperator(let node, let opType):
      try touch(node)
      node.opType = opType
    case .addInitializer(let value, let literal):
      guard graph.initializer(for: value) == nil else { throw fault("'\(value.name)' has an initializer already") }
      graph.addInitializer(value, literal)
    case .replaceInitializer(let value, let literal):
      guard graph.initializer(for: value) != nil else { throw fault("'\(value.name)' has no initializer") }
      graph.replaceInitializer(value, with: literal)
    case .removeInitializer(let value):
      guard graph.initializer(for: value) != nil else { throw fault("'\(value.name)' has no initializer") }
      removedInitializers.insert(value)
    case .removeGraphInput(let value):
      guard graph.isInput(value) else { throw fault("'\(value.name)' is no input of the graph") }
      graph.inputs.removeAll { $0.value === value }
    case .setGraphOutput(let index, let value):
      guard graph.outputs.indices.contains(index) else { throw fault("the graph has no output \(index)") }
      graph.outputs[index].value = value
    case .setOpset(let domain, let version): model.setOpset(version, domain: domain)
    case .setIRVersion(let version): model.irVersion = Int64(version)
    case .setMetadata(let key, let value): model.setMetadata(key, value)
    }
  }

  mutating func finish() throws(GraphError) {
    for node in removed { node.disconnect() }
    if !removedInitializers.isEmpty { graph.removeInitializers { removedInitializers.contains($0) } }
    var ordered = front
    for node in nodes {
      ordered += before[node] ?? []
      if !removed.contains(node) { ordered.append(node) }
      ordered += after[node] ?? []
    }
    graph.setNodes(ordered + back)
    if !isOrdered {
      guard let sorted = graph.topologicalOrder() else { throw fault("the result has a cycle") }
      graph.setNodes(sorted)
    }
    let known = Set(graph.values)
    if !removed.isEmpty || !touched.isEmpty { graph.valueInfos.removeAll { !known.contains($0.value) } }
  }

  private var isOrdered: Bool {
    var pending = Set(graph.nodes)
    for node in graph.nodes {
      for value in node.inputs + node.capturedValues {
        if let producer = value?.producer, pending.contains(producer) { return false }
      }
      pending.remove(node)
    }
    return true
  }

  func undo() {
    for node in created { node.disconnect() }
    for node in removed { reconnect(node) }
    for (node, state) in touched {
      node.setInputs(state.inputs)
      for (index, value) in state.outputs.enumerated() { node.setOutput(index, to: value) }
      node.attributes = state.attributes
      node.opType = state.opType
    }
    graph.setNodes(nodes)
    graph.inputs = inputs
    graph.outputs = outputs
    graph.valueInfos = valueInfos
    graph.removeInitializers { _ in true }
    for item in initializers { graph.addInitializer(item.value, item.literal) }
    model.opsetImports = opsetImports
    model.irVersion = irVersion
    model.metadata = metadata
  }

  private mutating func insert(_ blueprint: NodeBlueprint, _ position: GraphPatch.Position) throws(GraphError) {
    func check(_ anchor: Node) throws(GraphError) {
      guard members.contains(anchor) else { throw fault("'\(anchor.name ?? "")' is no node of the graph") }
    }
    switch position {
    case .before(let anchor), .after(let anchor): try check(anchor)
    case .front, .back: break
    }
    // Outputs that other nodes produce until now change hands; those nodes are touched and restored by `undo`.
    for output in blueprint.outputs {
      if let producer = output?.producer, members.contains(producer) { try touch(producer) }
    }
    let node = Node(
      blueprint.opType, domain: blueprint.domain, name: blueprint.name, inputs: blueprint.inputs,
      outputs: blueprint.outputs, attributes: blueprint.attributes)
    created.insert(node)
    switch position {
    case .before(let anchor): before[anchor, default: []].append(node)
    case .after(let anchor): after[anchor, default: []].append(node)
    case .front: front.append(node)
    case .back: back.append(node)
    }
  }

  /// Nodes of graphs nested in the patched one may be touched too: they read its values.
  private mutating func touch(_ node: Node) throws(GraphError) {
    guard touchedSet.insert(node).inserted else { return }
    touched.append(
      (
        node,
        NodeState(inputs: node.inputs, outputs: node.outputs, attributes: node.attributes, opType: node.opType)
      ))
  }

  private func reconnect(_ node: Node) {
    node.setInputs(node.inputs)
    for (index, value) in node.outputs.enumerated() { node.setOutput(index, to: value) }
    for nested in node.subgraphs { nested.nodes.forEach(reconnect) }
  }

  private func fault(_ message: String) -> GraphError {
    GraphError(.badPatch, "a patch does not fit its graph: \(message)")
  }
}
