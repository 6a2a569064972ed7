import ONNXGraph
import ONNXTensor
import QuantCore

/// Turns a plan into parameters and edits.
struct Insertion {
  let model: Model
  let graph: Graph
  let view: QuantizationView
  var plan: PlacementPlan
  let judge: TensorJudge
  let options: InsertionOptions
  let overrides: ResolvedOverrides
  let target: TargetPreset
  var names: NameAuthority
  var patch: GraphPatch
  var report: InsertionReport
  var parameters: [Value: QuantizationParameters] = [:]
  /// Of tensors that kernels on wide activations read or write, besides those that are wide for their own sake.
  var wideParameters: [Value: QuantizationParameters] = [:]
  /// Nodes on wide activations.
  let wideNodes: Set<Node>
  /// The dequantized value of each tensor that has or gets a pair.
  var dequantized: [Value: Value] = [:]
  /// Tensors on their other grid, for readers whose kernel has that type.
  var converted: [Value: Value] = [:]
  /// Operands that have got another value; what they read before may have no reader left.
  var rewired: [Edge: Value] = [:]
  var roundedWeights: [Edge: (exact: Tensor, rounded: Tensor, parameters: QuantizationParameters?)] = [:]

  /// The nodes that lead to a nested graph.
  let path: String
  let types: FloatTypes

  init(
    model: Model, view: QuantizationView, path: String, plan: PlacementPlan, judge: TensorJudge,
    options: InsertionOptions, overrides: ResolvedOverrides, types: FloatTypes
  ) {
    self.model = model
    graph = view.graph
    self.path = path
    self.types = types
    self.view = view
    self.plan = plan
    self.judge = judge
    self.options = options
    self.overrides = overrides
    target = options.target
    names = NameAuthority(model: model)
    patch = GraphPatch(model, graph: view.graph)
    wideNodes = WideKernels(plan, view: view, judge: judge).nodes
    report = InsertionReport(target: options.target.name)
  }

  mutating func run() throws -> InsertionReport {
    try solveParameters()
    try insertPairs()
    try quantizeWeights()
    let biases = try correctBiases()
    try quantizeConstants(biases)
    try quantizeBiases(biases)
    rewireOperands()
    removeUnread()
    // Before the edits: they take the weights away whose shapes count.
    gatherNodes()
    let isUnchanged = patch.isEmpty
    report.journal = try patch.apply()
    report.isUnchanged = isUnchanged
    for (tensor, rule, reason) in plan.floatTensors {
      report.decisions.append(Decision(tensor: tensor.name, rule: rule, reason: reason))
    }
    return report
  }

  mutating func rewire(_ edge: Edge, to value: Value) { rewired[edge] = value }

  /// Sets all changed operands, node by node in the order of the graph, nested graphs included.
  mutating func rewireOperands() {
    var byNode: [Node: [(Int, Value)]] = [:]
    for (edge, value) in rewired { byNode[edge.node, default: []].append((edge.index, value)) }
    for node in graph.allGraphs.flatMap(\.nodes) {
      guard let changes = byNode[node] else { continue }
      var inputs = node.inputs
      for (index, value) in changes {
        while inputs.count <= index { inputs.append(nil) }
        inputs[index] = value
      }
      patch.append(.setInputs(node, inputs))
    }
  }

  /// Constants that only rewired operands read are gone.
  mutating func removeUnread() {
    var seen = Set<Value>()
    let returned = Set(graph.allGraphs.flatMap { $0.outputs.map(\.value) })
    for node in graph.nodes {
      for value in node.inputs {
        guard let value, view.constants.isConstant(value), !returned.contains(value) else { continue }
        guard value.uses.allSatisfy({ rewired[Edge(node: $0.node, index: $0.index)] != nil }),
          seen.insert(value).inserted
        else { continue }
        if graph.initializer(for: value) != nil {
          if graph.isInput(value) { patch.append(.removeGraphInput(value)) }
          patch.append(.removeInitializer(value))
        } else if let producer = value.producer, view.isMember(producer) {
          patch.append(.remove(producer))
        }
      }
    }
  }

  func entry(_ rule: PlacementRule, _ subject: JournalEntry.Subject, _ action: String) -> JournalEntry {
    JournalEntry(rule: rule.id, reason: rule.sentence, subject: subject, action: action)
  }
}
