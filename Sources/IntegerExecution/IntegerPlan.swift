import FloatExecution
import FloatKernels
import ONNXGraph
import ONNXTensor

/// A value during a run.
enum PlanValue {
  case runtime(RuntimeValue)
  case integer(IntegerTensor)
  case wide(WideTensor)

  var shape: [Int]? {
    switch self {
    case .runtime(let value): value.tensor?.shape
    case .integer(let tensor): tensor.shape
    case .wide(let tensor): tensor.shape
    }
  }
}

/// What steps need from whoever runs them.
final class StepContext {
  let threads: ThreadPool
  let pool: BufferPool
  /// No value may take more bytes.
  let memoryLimit: Int
  var statistics = IntegerStatistics()

  init(threads: ThreadPool, pool: BufferPool, memoryLimit: Int = StepContext.physicalMemory) {
    self.threads = threads
    self.pool = pool
    self.memoryLimit = memoryLimit
  }
}

struct PlanStep {
  enum Kind {
    /// Integer arithmetic, or bytes moved.
    case integer
    /// Quantization or dequantization at the border of a region.
    case border
    /// Shapes, indices and moved elements: no arithmetic on reals.
    case shape
    /// Float arithmetic, and why.
    case float(reason: String)

    var name: String {
      switch self {
      case .integer: "integer"
      case .border: "border"
      case .shape: "shape"
      case .float: "float"
      }
    }

    var reason: String? { if case .float(let reason) = self { reason } else { nil } }
  }

  let node: Node
  let kind: Kind
  let inputs: [Int?]
  let outputs: [Int?]
  var released: [Int] = []
  /// What `body` does, where it can be stored in an engine file.
  var operation: (any StoredOperation)?
  let body: (_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?]
}

/// A Q/DQ model lowered to integer steps, with float steps where integers do not reach.
///
/// Values between a QuantizeLinear and its DequantizeLinear live as integers; what feeds a QuantizeLinear from
/// dequantized inputs is computed in integers with one rounding. The model must not be edited while the plan lives.
package final class IntegerPlan {
  package let model: Model
  package let options: IntegerOptions
  var steps: [PlanStep] = []
  var constants: [Int: PlanValue] = [:]
  var inputSlots: [Int] = []
  var outputSlots: [Int] = []
  var slotCount = 0
  /// Which values of the graph a slot holds, and with which parameters where it holds bytes.
  var names: [Int: [(value: Value, parameters: ActivationParameters?)]] = [:]
  /// The fraction bits of the slots that hold fixed-point codes.
  var fractions: [Int: Int32] = [:]
  /// Set for a model with nested graphs, which is run in float as a whole.
  var whole: FloatExecutor?

  /// - Throws: `ExecutionError` with the node at fault; under `integerOnly` also where a node stays float.
  package init(model: Model, options: IntegerOptions = IntegerOptions()) throws {
    let isNested = model.graph.nodes.contains { !$0.subgraphs.isEmpty }
    let model = isNested ? model : QuantizedOperatorForm.expanded(model) ?? model
    self.model = model
    self.options = options
    if isNested {
      if options.integerOnly, let node = model.graph.nodes.first(where: { !$0.subgraphs.isEmpty }) {
        throw ExecutionError(.unsupported, "nested graphs are run in float", node: node)
      }
      whole = try FloatExecutor(model: model)
      return
    }
    try LargeStack.run(when: model.graph.nodes.count > 1000) {
      try Lowering(self).lower()
    }
    prune()
    if options.integerOnly {
      for step in self.steps {
        if case .float(let reason) = step.kind {
          throw ExecutionError(.unsupported, "stays float: \(reason)", node: step.node)
        }
      }
    }
    schedule()
  }

  /// Nodes that stay float, without their MACs, which depend on the shapes of a run.
  package var islands: [FloatIsland] {
    if whole != nil {
      return model.graph.nodes.filter { !$0.subgraphs.isEmpty }.map {
        FloatIsland(
          node: $0.label, opType: $0.opType, macs: 0, reason: "nested graphs are run in float, and the model with them")
      }
    }
    return steps.compactMap { step in
      guard case .float(let reason) = step.kind else { return nil }
      return FloatIsland(node: step.node.label, opType: step.node.opType, macs: 0, reason: reason)
    }
  }

  /// Number of steps by the work they do.
  package var stepCounts: [String: Int] {
    var counts: [String: Int] = [:]
    for step in steps { counts[step.kind.name, default: 0] += 1 }
    return counts
  }

  /// The names of the tensors that a tap can see.
  package var tappedNames: Set<String> { Set(names.values.joined().map(\.value.name)) }

  /// Drops steps that nothing reads: what one form of a value had prepared before another was found.
  private func prune() {
    var wanted = Set(outputSlots)
    var live: [PlanStep] = []
    for step in steps.reversed() where step.outputs.contains(where: { $0.map(wanted.contains) ?? false }) {
      wanted.formUnion(step.inputs.compactMap { $0 })
      live.append(step)
    }
    steps = live.reversed()
    constants = constants.filter { wanted.contains($0.key) }
    names = names.filter { wanted.contains($0.key) }
  }

  /// An empty plan for a reader to fill.
  init(reading model: Model, options: IntegerOptions) {
    self.model = model
    self.options = options
  }

  func schedule() {
    var last: [Int: Int] = [:]
    for (index, step) in steps.enumerated() {
      for slot in step.inputs + step.outputs { if let slot { last[slot] = index } }
    }
    let kept = Set(outputSlots)
    for (slot, index) in last where !kept.contains(slot) && constants[slot] == nil {
      steps[index].released.append(slot)
    }
  }
}
