import FloatExecution
import FloatKernels
import ONNXGraph
import ONNXTensor

/// Runs an `IntegerPlan`. One run at a time; the same inputs give the same bytes whatever the number of threads.
package final class IntegerExecutor {
  package let plan: IntegerPlan
  private let threads: ThreadPool
  private let pool = BufferPool()
  private let memoryLimit: Int
  /// What the last run did.
  package private(set) var statistics = IntegerStatistics()

  /// - Parameter memoryLimit: no value of a run may take more bytes; that of the machine by default.
  package init(plan: IntegerPlan, threads: ThreadPool = .serial, memoryLimit: Int? = nil) {
    self.plan = plan
    self.threads = threads
    self.memoryLimit = memoryLimit ?? StepContext.physicalMemory
  }

  package convenience init(
    model: Model, options: IntegerOptions = IntegerOptions(), threads: ThreadPool = .serial
  ) throws {
    self.init(plan: try IntegerPlan(model: model, options: options), threads: threads)
  }

  /// Runs the model once.
  ///
  /// - Parameters:
  ///   - inputs: by name; inputs with an initializer may be left out.
  ///   - tap: sees values of the graph as they are computed, integers dequantized. A value inside a fused region is
  ///     seen where its quantized form exists, once.
  ///   - wanted: the values that the tap is to see; all by default.
  /// - Throws: `ExecutionError`.
  package func run(
    _ inputs: [String: RuntimeValue], tap: TensorTap? = nil, wanted: (Value) -> Bool = { _ in true }
  ) throws -> [String: RuntimeValue] {
    if let whole = plan.whole {
      let outputs: [String: RuntimeValue] = try whole.run(inputs, tap: tap)
      statistics = IntegerStatistics(islands: plan.islands)
      return outputs
    }
    let graph = plan.model.graph
    let known = Set(graph.inputs.map(\.value.name))
    for name in inputs.keys.sorted() where !known.contains(name) {
      throw ExecutionError(
        .badInput, "the model has no input '\(name)'; its inputs are \(graph.requiredInputs.map(\.name))")
    }
    let context = StepContext(threads: threads, pool: pool, memoryLimit: memoryLimit)
    var values = [PlanValue?](repeating: nil, count: plan.slotCount)
    for (slot, value) in plan.constants { values[slot] = value }
    for (port, slot) in zip(graph.inputs, plan.inputSlots) {
      if let input = inputs[port.value.name] {
        if graph.initializer(for: port.value) != nil {
          throw ExecutionError(
            .badInput, "input '\(port.value.name)' has an initializer, which the integer plan has taken as a constant")
        }
        if let tensor = input.tensor { try check(tensor, port) }
        values[slot] = .runtime(input)
        try see(slot, .runtime(input), tap, wanted, context)
      } else if graph.initializer(for: port.value) == nil {
        throw ExecutionError(.badInput, "input '\(port.value.name)' is missing")
      }
    }
    for step in plan.steps {
      do {
        let arguments = step.inputs.map { $0.flatMap { values[$0] } }
        let results = try step.body(arguments, context)
        for (index, slot) in step.outputs.enumerated() {
          guard let slot else { continue }
          guard index < results.count, let result = results[index] else {
            throw ExecutionError(.failed, "output \(index) was not computed", node: step.node)
          }
          values[slot] = result
          try see(slot, result, tap, wanted, context)
        }
      } catch let error as ExecutionError {
        throw error.node == nil ? ExecutionError(error.code, error.message, node: step.node) : error
      } catch {
        throw ExecutionError(.failed, "\(error)", node: step.node)
      }
      for slot in step.released { values[slot] = nil }
    }
    statistics = context.statistics
    var outputs: [String: RuntimeValue] = [:]
    for (port, slot) in zip(graph.outputs, plan.outputSlots) {
      guard case .runtime(let value) = values[slot] else {
        throw ExecutionError(.failed, "output '\(port.value.name)' has no value")
      }
      outputs[port.value.name] = value
    }
    return outputs
  }

  /// Runs the model on tensors and gives tensors back.
  package func run(
    _ inputs: [String: Tensor], tap: TensorTap? = nil, wanted: (Value) -> Bool = { _ in true }
  ) throws -> [String: Tensor] {
    let results: [String: RuntimeValue] = try run(inputs.mapValues { .tensor($0) }, tap: tap, wanted: wanted)
    return results.compactMapValues(\.tensor)
  }

  private func see(
    _ slot: Int, _ result: PlanValue, _ tap: TensorTap?, _ wanted: (Value) -> Bool, _ context: StepContext
  ) throws {
    guard let tap, let names = plan.names[slot] else { return }
    for (value, parameters) in names where wanted(value) {
      switch result {
      case .runtime(let runtime): try tap(value, runtime)
      case .integer(let bytes):
        guard let parameters else { continue }
        try tap(value, .tensor(Border.dequantize(bytes, parameters, context)))
      case .wide(let codes):
        guard let fraction = plan.fractions[slot] else { continue }
        try tap(value, .tensor(codes.reals(fraction, context.pool)))
      }
    }
  }

  private func check(_ tensor: Tensor, _ port: Graph.Port) throws {
    guard let type = port.info.type?.tensorType else { return }
    if let declared = type.elementType.flatMap(ElementType.init), declared != tensor.elementType {
      throw ExecutionError(
        .badInput, "input '\(port.value.name)' is \(declared.name), the tensor given is \(tensor.elementType.name)")
    }
    guard let shape = type.shape else { return }
    let fits =
      shape.count == tensor.rank
      && zip(shape, tensor.shape).allSatisfy { dimension, extent in
        // Exporters write 0 for "unknown".
        if case .value(let value) = dimension.extent, value > 0 { Int(value) == extent } else { true }
      }
    guard fits else {
      throw ExecutionError(
        .badInput, "input '\(port.value.name)' does not have the shape \(tensor.shape) of the tensor given")
    }
  }
}
