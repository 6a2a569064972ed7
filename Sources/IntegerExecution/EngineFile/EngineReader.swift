import FloatExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor

extension EngineFile {
  /// The plan that the file holds. Weights are packed when they are first used.
  ///
  /// - Throws: `EngineFileError`, also for a kind of step that this onnxq does not know.
  package func plan() throws -> IntegerPlan {
    guard let rounding = IntegerOptions.rounding(named: rounding) else {
      throw EngineFileError(.damaged, "rounding '\(self.rounding)' is not known", at: "interface")
    }
    let options = IntegerOptions(rounding: rounding)
    let embedded = try embeddedModel.map { view throws -> Model in
      do {
        return try ModelDecoder.decode(view, path: nil)
      } catch {
        throw EngineFileError(.damaged, "\(error)", at: "operators")
      }
    }
    if isWhole {
      guard let embedded, inputs.isEmpty, outputs.isEmpty, steps.isEmpty, constants.isEmpty else {
        throw EngineFileError(.damaged, "an engine of one float model holds that model alone", at: "interface")
      }
      let plan = IntegerPlan(reading: embedded, options: options)
      plan.whole = try FloatExecutor(model: embedded)
      return plan
    }
    let plan = IntegerPlan(reading: interfaceModel(), options: options)
    plan.slotCount = slotCount
    plan.inputSlots = inputs.map(\.slot)
    plan.outputSlots = outputs.map(\.slot)
    var defined = [Bool](repeating: false, count: slotCount)
    func define(_ slot: Int, at location: String) throws {
      guard !defined[slot] else { throw EngineFileError(.damaged, "slot \(slot) is written twice", at: location) }
      defined[slot] = true
    }
    guard Set(inputs.map(\.name)).count == inputs.count, Set(outputs.map(\.name)).count == outputs.count else {
      throw EngineFileError(.damaged, "two inputs or outputs have one name", at: "interface")
    }
    for input in inputs { try define(input.slot, at: "interface") }
    for (slot, isInteger, tensor) in constants {
      try define(slot, at: "interface")
      plan.constants[slot] = isInteger ? .integer(IntegerTensor(plain: tensor)) : .runtime(.tensor(tensor))
    }
    let operators = embedded.map { StoredOperators($0) }
    for (index, step) in steps.enumerated() {
      let location = "step \(index) (\(step.kind), node \(step.node))"
      for slot in step.inputs {
        if let slot, !defined[slot] {
          throw EngineFileError(.damaged, "slot \(slot) is read before it is written", at: location)
        }
      }
      plan.steps.append(try planStep(step, at: location, operators, plan.constants))
      for slot in step.outputs { if let slot { try define(slot, at: location) } }
    }
    for output in outputs where !defined[output.slot] {
      throw EngineFileError(.damaged, "output '\(output.name)' is never written", at: "interface")
    }
    for (slot, name, parameters) in names { plan.names[slot, default: []].append((Value(name), parameters)) }
    plan.fractions = fractions
    plan.schedule()
    return plan
  }

  private func planStep(
    _ step: Step, at location: String, _ operators: StoredOperators?, _ constants: [Int: PlanValue]
  ) throws -> PlanStep {
    guard let type = StoredOperationCatalog.byKind[step.kind] else {
      throw EngineFileError(.unsupported, "this onnxq does not know steps of kind '\(step.kind)'", at: location)
    }
    guard type.inputCounts.contains(step.inputs.count), type.layout.name == step.layout else {
      throw EngineFileError(.damaged, "\(step.inputs.count) inputs, layout \(step.layout)", at: location)
    }
    let known = step.inputs.map { slot -> Tensor? in
      if let slot, case .runtime(let value) = constants[slot] { value.tensor } else { nil }
    }
    var fields = FieldReader(step.fields, at: location, operators: operators, constants: known)
    let operation = try type.init(&fields)
    try fields.finish()
    let node: Node
    if let stored = operation as? OperatorStep {
      guard step.outputs.count == stored.node.outputs.count else {
        throw EngineFileError(.damaged, "\(step.outputs.count) outputs", at: location)
      }
      node = stored.node
    } else {
      guard step.outputs.count == 1, step.outputs[0] != nil else {
        throw EngineFileError(.damaged, "\(step.outputs.count) outputs", at: location)
      }
      node = Node(step.opType, name: step.node, inputs: [], outputs: [])
    }
    let kind: PlanStep.Kind =
      switch step.kindOfWork {
      case "border": .border
      case "shape": .shape
      case "float": .float(reason: step.reason ?? "")
      default: .integer
      }
    return PlanStep(
      node: node, kind: kind, inputs: step.inputs, outputs: step.outputs, operation: operation, body: operation.run)
  }

  /// A graph of inputs and outputs alone, for whoever runs the plan to check what is given.
  private func interfaceModel() -> Model {
    func port(_ port: Port) -> Graph.Port {
      let type = port.elementType.map {
        ValueType(.tensor(ValueType.TensorType(elementType: $0.rawValue, shape: port.shape)))
      }
      return Graph.Port(Value(port.name, type: type))
    }
    let graph = Graph(name: "engine")
    graph.inputs = inputs.map(port)
    graph.outputs = outputs.map(port)
    return Model(graph: graph)
  }
}
