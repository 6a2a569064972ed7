import FloatKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// A graph made ready to run: nodes in order with prepared kernels, values in numbered slots, and when each dies.
final class ExecutionPlan {
  struct Step {
    let node: Node
    let hasGraphs: Bool
    /// Failure to prepare is reported when the step is reached: a branch that is never taken may hold anything.
    let kernel: Result<Kernel, any Error>
    let inputs: [Int?]
    let outputs: [Int?]
    /// Slots that nobody reads after this step.
    var released: [Int] = []
    /// Set where the step stands for several nodes.
    var fusion: Fusion?

    init(node: Node, kernel: Result<Kernel, any Error>, inputs: [Int?], outputs: [Int?], fusion: Fusion? = nil) {
      self.node = node
      self.kernel = kernel
      self.inputs = inputs
      self.outputs = outputs
      self.fusion = fusion
      hasGraphs = !node.subgraphs.isEmpty
    }
  }

  /// A product and the nodes after it as one kernel, and one by one for shapes that it does not take.
  struct Fusion {
    let kernel: FusedKernel
    let addends: [Int]
    let parts: [Step]
  }

  /// A step with the slots that it reads, captured values among them.
  struct Prepared {
    var step: Step
    var reads: [Int]
  }

  /// Values that surround the graph, read by it or by graphs nested in it.
  struct Capture {
    let value: Value
    let slot: Int
  }

  let graph: Graph
  /// Every node: what a run with a tap takes.
  private(set) var steps: [Step] = []
  /// The same with products and what follows them joined; the results have the same bits.
  private(set) var fusedSteps: [Step] = []
  private(set) var inputSlots: [Int] = []
  private(set) var outputSlots: [Int?] = []
  private(set) var captures: [Capture] = []
  /// Slot contents at the start of a run: initializers and folded constants.
  private(set) var constants: [Int: Tensor] = [:]
  /// The slots as a run finds them.
  private(set) var initialValues: [RuntimeValue?] = []
  private var slotCount = 0
  private var slots: [ObjectIdentifier: Int] = [:]
  private let context: PlanContext
  private weak var outer: ExecutionPlan?
  private var nestedPlans: [ObjectIdentifier: ExecutionPlan] = [:]

  /// `outer`: the plan of the graph around it, whose constants hold here too.
  init(graph: Graph, context: PlanContext, outer: ExecutionPlan? = nil) throws {
    self.graph = graph
    self.context = context
    self.outer = outer
    guard let order = graph.topologicalOrder() else {
      throw ExecutionError(.failed, "graph '\(graph.name ?? "")' has a cycle")
    }
    inputSlots = graph.inputs.map { slot($0.value) }
    for item in graph.initializers {
      let slot = slot(item.value)
      if !graph.isInput(item.value) || context.initializerInputsAreConstant {
        constants[slot] = try item.literal.tensor()
      }
    }
    for sparse in graph.sparseInitializers {
      guard let name = sparse.values?.name, let value = graph.values.first(where: { $0.name == name }) else { continue }
      constants[slot(value)] = try sparse.dense()
    }
    var defined = Set(inputSlots).union(constants.keys)
    var prepared: [Prepared] = []
    for node in order {
      let inputs = node.inputs.map { $0.map { slot($0) } }
      let captured = node.capturedValues
      let reads = inputs.compactMap { $0 } + captured.map { slot($0) }
      for (value, slot) in zip(node.inputs.compactMap { $0 } + captured, reads) where defined.insert(slot).inserted {
        capture(value, slot)
      }
      let outputs = node.outputs.map { $0.map { slot($0) } }
      defined.formUnion(outputs.compactMap { $0 })
      let known = inputs.map { $0.flatMap { constants[$0] } }
      let kernel = Result { try context.prepare(node, constants: known) }
      if context.foldsConstants, case .success(let kernel) = kernel,
        let results = Self.fold(node, kernel, inputs: inputs, known: known)
      {
        for (slot, tensor) in zip(outputs, results) { if let slot { constants[slot] = tensor } }
        continue
      }
      prepared.append(
        Prepared(step: Step(node: node, kernel: kernel, inputs: inputs, outputs: outputs), reads: reads))
    }
    outputSlots = graph.outputs.map { port in
      let slot = slot(port.value)
      if defined.insert(slot).inserted { capture(port.value, slot) }
      return slot
    }
    let kept = Set(outputSlots.compactMap { $0 })
    let fusions = FusionPlanner(prepared, kept: kept, constants: constants, context: context)
    steps = schedule(prepared, kept: kept)
    fusedSteps = schedule(fusions.joined(), kept: kept)
    initialValues = Array(repeating: nil, count: slotCount)
    for (slot, tensor) in constants { initialValues[slot] = .tensor(tensor) }
  }

  private func capture(_ value: Value, _ slot: Int) {
    if context.foldsConstants, let constant = outer?.constant(value) {
      constants[slot] = constant
    } else {
      captures.append(Capture(value: value, slot: slot))
    }
  }

  private func constant(_ value: Value) -> Tensor? {
    existingSlot(of: value).flatMap { constants[$0] } ?? outer?.constant(value)
  }

  private func slot(_ value: Value) -> Int {
    let key = ObjectIdentifier(value)
    if let slot = slots[key] { return slot }
    slots[key] = slotCount
    slotCount += 1
    return slotCount - 1
  }

  /// The plan of a graph that a node of this one holds, made when the node first runs it.
  func nested(_ graph: Graph) throws -> ExecutionPlan {
    let key = ObjectIdentifier(graph)
    if let known = nestedPlans[key] { return known }
    let plan = try ExecutionPlan(graph: graph, context: context, outer: self)
    nestedPlans[key] = plan
    return plan
  }

  func existingSlot(of value: Value) -> Int? { slots[ObjectIdentifier(value)] }

  private func schedule(_ prepared: [Prepared], kept: Set<Int>) -> [Step] {
    var lastUse = [Int: Int]()
    for (index, item) in prepared.enumerated() {
      for slot in item.reads { lastUse[slot] = index }
      let inner = item.step.fusion?.parts.flatMap(\.outputs) ?? []
      for slot in (item.step.outputs + inner).compactMap({ $0 }) where lastUse[slot] == nil { lastUse[slot] = index }
    }
    var steps = prepared.map(\.step)
    for (slot, index) in lastUse where !kept.contains(slot) && constants[slot] == nil {
      steps[index].released.append(slot)
    }
    return steps
  }

  /// The outputs of a node whose inputs are all known; nil when it must be run each time.
  private static func fold(_ node: Node, _ kernel: Kernel, inputs: [Int?], known: [Tensor?]) -> [Tensor?]? {
    guard node.subgraphs.isEmpty, !OperatorCatalog.isRandom(node), !OperatorCatalog.keepsCompactForm(node) else {
      return nil
    }
    for (slot, tensor) in zip(inputs, known) where slot != nil && tensor == nil { return nil }
    let values = known.map { $0.map { RuntimeValue.tensor($0) } }
    guard let results = try? kernel.body(values, EvaluationContext(outputCount: node.outputs.count)),
      results.count >= node.outputs.count
    else { return nil }
    var tensors: [Tensor?] = []
    for (value, result) in zip(node.outputs, results) {
      guard value != nil else { tensors.append(nil); continue }
      guard case .tensor(let tensor) = result else { return nil }
      tensors.append(tensor)
    }
    return tensors
  }
}
