import FloatKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// One execution of a plan: the values in their slots.
final class PlanRun {
  private let plan: ExecutionPlan
  private let threads: ThreadPool
  private let pool: BufferPool?
  private let tap: TensorTap?
  private var values: [RuntimeValue?]
  private weak var parent: PlanRun?

  init(plan: ExecutionPlan, threads: ThreadPool, pool: BufferPool?, tap: TensorTap? = nil) {
    self.plan = plan
    self.threads = threads
    self.pool = pool
    self.tap = tap
    values = plan.initialValues
  }

  /// Graph inputs by position; nil where an initializer stands in for it or the input is optional.
  func execute(inputs: [RuntimeValue?], parent: PlanRun?) throws -> [RuntimeValue] {
    self.parent = parent
    for (slot, input) in zip(plan.inputSlots, inputs) { if let input { values[slot] = input } }
    for capture in plan.captures { values[capture.slot] = parent?.value(of: capture.value) }
    if let tap {
      for (slot, port) in zip(plan.inputSlots, plan.graph.inputs) {
        if let value = values[slot], plan.constants[slot] == nil { try tap(port.value, value) }
      }
    }
    try (tap == nil ? plan.fusedSteps : plan.steps).withUnsafeBufferPointer { steps in
      for index in steps.indices { try execute(steps[index]) }
    }
    return try zip(plan.outputSlots, plan.graph.outputs).map { slot, port in
      guard let slot, let value = values[slot] else {
        throw ExecutionError(.failed, "output '\(port.value.name)' of graph '\(plan.graph.name ?? "")' has no value")
      }
      return value
    }
  }

  private func execute(_ step: ExecutionPlan.Step) throws {
    if let fusion = step.fusion {
      try execute(fusion, step)
    } else {
      try executeNode(step)
    }
    for slot in step.released { values[slot] = nil }
  }

  private func execute(_ fusion: ExecutionPlan.Fusion, _ step: ExecutionPlan.Step) throws {
    let inputs = step.inputs.map { $0.flatMap { values[$0] } }
    let addends = fusion.addends.compactMap { values[$0] }
    if addends.count == fusion.addends.count,
      let result = fusion.kernel.run(inputs, addends: addends, EvaluationContext(threads: threads, pool: pool)),
      let output = step.outputs[0]
    {
      values[output] = .tensor(result)
    } else {
      for part in fusion.parts { try executeNode(part) }
    }
  }

  private func executeNode(_ step: ExecutionPlan.Step) throws {
    let node = step.node
    do {
      let kernel = try step.kernel.get()
      var inputs: [RuntimeValue?] = []
      inputs.reserveCapacity(step.inputs.count)
      for (index, slot) in step.inputs.enumerated() {
        let found = slot.flatMap { values[$0] }
        if slot != nil, found == nil {
          throw ExecutionError(.failed, "input '\(node.input(index)?.name ?? "")' has no value", node: node)
        }
        inputs.append(found)
      }
      var evaluation = EvaluationContext(threads: threads, pool: pool, outputCount: step.outputs.count)
      if step.hasGraphs {
        evaluation.runGraph = { [unowned self] graph, inputs in try self.run(graph, inputs: inputs) }
      }
      let results = try kernel.body(inputs, evaluation)
      for (index, slot) in step.outputs.enumerated() {
        guard let slot else { continue }
        guard index < results.count, let result = results[index] else {
          let name = node.output(index)?.name ?? ""
          throw ExecutionError(.failed, "output \(index) ('\(name)') was not computed", node: node)
        }
        values[slot] = result
        if let tap, let value = node.output(index) { try tap(value, result) }
      }
    } catch let error as ExecutionError {
      throw error.node == nil ? ExecutionError(error.code, error.message, node: node) : error
    } catch {
      throw ExecutionError(.failed, "\(error)", node: node)
    }
  }

  private func run(_ graph: Graph, inputs: [RuntimeValue?]) throws -> [RuntimeValue] {
    let run = PlanRun(plan: try plan.nested(graph), threads: threads, pool: pool, tap: tap)
    return try run.execute(inputs: inputs, parent: self)
  }

  private func value(of value: Value) -> RuntimeValue? {
    if let slot = plan.existingSlot(of: value), let found = values[slot] { return found }
    return parent?.value(of: value)
  }
}
