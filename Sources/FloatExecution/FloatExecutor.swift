import FloatKernels
import ONNXGraph
import ONNXTensor

/// Sees tensors as they are computed: graph inputs, then every output of every node, nested graphs included.
package typealias TensorTap = (_ value: Value, _ result: RuntimeValue) throws -> Void

/// Runs a model node by node in the arithmetic that it is written in; Q/DQ nodes give fake quantization.
///
/// The model must not be edited while the executor lives. One run at a time. The same inputs give the same bytes
/// whatever the number of threads.
package final class FloatExecutor {
  package let model: Model
  private let context: PlanContext
  private let plan: ExecutionPlan
  /// For runs in which the caller gives a value for an initializer: nothing is folded from the initializer's own.
  private var openPlan: ExecutionPlan?
  private let threads: ThreadPool
  private let pool = BufferPool()
  private let inputNames: Set<String>

  /// - Throws: `ExecutionError`, `GraphError` when the graph has a cycle or a constant is damaged. Operators without
  ///   kernels are reported when they are reached.
  package init(model: Model, threads: ThreadPool = .serial, foldsConstants: Bool = true) throws {
    self.model = model
    self.threads = threads
    context = PlanContext(model: model, foldsConstants: foldsConstants)
    plan = try ExecutionPlan(graph: model.graph, context: context)
    inputNames = Set(model.graph.inputs.map(\.value.name))
  }

  /// Runs the model once.
  ///
  /// - Parameter inputs: by name; inputs with an initializer may be left out.
  /// - Returns: the graph outputs by name.
  /// - Throws: `ExecutionError`.
  package func run(_ inputs: [String: RuntimeValue], tap: TensorTap? = nil) throws -> [String: RuntimeValue] {
    if let name = inputs.keys.filter({ !inputNames.contains($0) }).min() {
      throw ExecutionError(
        .badInput, "the model has no input '\(name)'; its inputs are \(model.graph.requiredInputs.map(\.name))")
    }
    let isOpen = model.graph.inputs.contains {
      inputs[$0.value.name] != nil && model.graph.initializer(for: $0.value) != nil
    }
    let ordered = try model.graph.inputs.map { port -> RuntimeValue? in
      guard let input = inputs[port.value.name] else {
        if let literal = model.graph.initializer(for: port.value) {
          return isOpen ? .tensor(try literal.tensor()) : nil
        }
        if case .optional = port.info.type?.kind { return .optional(nil) }
        throw ExecutionError(.badInput, "input '\(port.value.name)' is missing")
      }
      if case .tensor(let tensor) = input { try check(tensor, port) }
      if case .optional = port.info.type?.kind, case .tensor = input { return .optional(input) }
      return input
    }
    let plan = isOpen ? try makeOpenPlan() : plan
    let run = PlanRun(plan: plan, threads: threads, pool: pool, tap: tap)
    let results = try run.execute(inputs: ordered, parent: nil)
    var outputs: [String: RuntimeValue] = [:]
    for (port, result) in zip(model.graph.outputs, results) { outputs[port.value.name] = result }
    return outputs
  }

  private func makeOpenPlan() throws -> ExecutionPlan {
    if let openPlan { return openPlan }
    let context = PlanContext(
      model: model, foldsConstants: context.foldsConstants, initializerInputsAreConstant: false)
    let plan = try ExecutionPlan(graph: model.graph, context: context)
    openPlan = plan
    return plan
  }

  /// Runs the model on tensors and gives tensors back.
  package func run(_ inputs: [String: Tensor], tap: TensorTap? = nil) throws -> [String: Tensor] {
    let results: [String: RuntimeValue] = try run(inputs.mapValues { .tensor($0) }, tap: tap)
    return results.compactMapValues(\.tensor)
  }

  private func check(_ tensor: Tensor, _ port: Graph.Port) throws {
    guard let type = port.info.type?.tensorType else { return }
    if let declared = type.elementType.flatMap(ElementType.init), declared != tensor.elementType {
      throw ExecutionError(
        .badInput,
        "input '\(port.value.name)' is \(declared.name), the tensor given is \(tensor.elementType.name)")
    }
    guard let shape = type.shape else { return }
    let fits =
      shape.count == tensor.rank
      && zip(shape, tensor.shape).allSatisfy { dimension, extent in
        // Exporters write 0 for "unknown".
        if case .value(let value) = dimension.extent, value > 0 { Int(value) == extent } else { true }
      }
    if !fits {
      throw ExecutionError(
        .badInput, "input '\(port.value.name)' has shape \(describe(shape)), the tensor given has \(tensor.shape)")
    }
  }

  private func describe(_ shape: [ValueType.Dimension]) -> String {
    let dims = shape.map { dimension in
      switch dimension.extent {
      case .unknown: "?"
      case .value(let value): "\(value)"
      case .parameter(let name): name
      }
    }
    return "[" + dims.joined(separator: ", ") + "]"
  }
}
