import FloatExecution
import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// An operator that moves elements, run on bytes by its own kernel.
struct MovementStep: StoredOperation {
  static let kind = "move"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1 << 20
  let node: Node
  /// Which of the node's outputs the step gives.
  let output: Int
  /// What Pad fills with where no input says so.
  let fill: UInt8?
  let kernel: LazyKernel

  init(_ node: Node, output: Int, fill: UInt8?, _ kernel: LazyKernel) {
    self.node = node
    self.output = output
    self.fill = fill
    self.kernel = kernel
  }

  /// Whether the step's input at `index` holds bytes with the tensor's parameters, which the kernel must not take as
  /// known.
  static func isQuantized(_ index: Int, of node: Node) -> Bool {
    node.opType == "Where" ? index > 0 : index == 0 || (node.opType == "Pad" && index == 2)
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("operator", int: fields.operators.add(node))
    fields.put("output", int: output)
    if let fill { fields.put("fill", int: Int(fill)) }
  }

  init(_ fields: inout FieldReader) throws {
    let constants = fields.constants
    let (node, operators) = try fields.embeddedNode(inputs: constants.count)
    self.node = node
    output = try fields.int("output", in: 0...1 << 20)
    guard output < node.outputs.count else { throw fields.damaged("'\(node.opType)' has no output \(output)") }
    let fill = try fields.intsIfPresent("fill")
    guard fill.map({ $0.count == 1 && (0...255).contains($0[0]) }) ?? true, fill == nil || constants.count > 2 else {
      throw fields.damaged("'fill' cannot be")
    }
    self.fill = fill.map { UInt8($0[0]) }
    let known = constants.enumerated().map { Self.isQuantized($0.offset, of: node) ? nil : $0.element }
    kernel = LazyKernel { try operators.context.prepare(node, constants: known) }
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    var values = arguments.map { argument -> RuntimeValue? in
      if case .runtime(let value) = argument { value } else { nil }
    }
    // Where's condition alone comes before its bytes.
    for index in arguments.indices where Self.isQuantized(index, of: node) {
      if case .integer(let bytes)? = arguments[index] { values[index] = .tensor(bytes.plain(context.pool).bytes) }
    }
    _ = try integerInput(arguments, node.opType == "Where" ? 1 : 0)
    if let fill, values.count > 2 { values[2] = .tensor(Tensor(scalar: fill)) }
    let evaluation = EvaluationContext(
      threads: context.threads, pool: context.pool, outputCount: node.outputs.count)
    let results = try kernel.get().body(values, evaluation)
    guard output < results.count, let result = results[output]?.tensor, result.elementType == .uint8 else {
      throw ExecutionError(.failed, "moved bytes came back as something else")
    }
    // Operators may return views of the middle of a tensor, or of a constant.
    return [.integer(IntegerTensor(plain: result.ownedForKernels(context.pool)))]
  }
}

/// A node run by its operator's own kernel: a float island, or shapes and indices.
struct OperatorStep: StoredOperation {
  static let kind = "operator"
  static let layout = StepLayout.plain
  static let inputCounts = 0...1 << 20
  let node: Node
  /// Why the node stays float; nil where it computes no reals.
  let reason: String?
  let opset: Int
  let kernel: LazyKernel

  init(_ node: Node, reason: String?, opset: Int, _ kernel: LazyKernel) {
    self.node = node
    self.reason = reason
    self.opset = opset
    self.kernel = kernel
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("operator", int: fields.operators.add(node))
    if let reason { fields.put("reason", string: reason) }
  }

  init(_ fields: inout FieldReader) throws {
    let constants = fields.constants
    let (node, operators) = try fields.embeddedNode(inputs: constants.count)
    guard node.inputs.count == constants.count else {
      throw fields.damaged("\(constants.count) inputs for '\(node.opType)', which has \(node.inputs.count)")
    }
    self.node = node
    reason = try fields.stringIfPresent("reason")
    opset = operators.context.opsets[node.canonicalDomain] ?? 1
    kernel = LazyKernel { try operators.context.prepare(node, constants: constants) }
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let values = arguments.map { argument -> RuntimeValue? in
      if case .runtime(let value) = argument { value } else { nil }
    }
    let evaluation = EvaluationContext(
      threads: context.threads, pool: context.pool, outputCount: node.outputs.count)
    let results = try kernel.get().body(values, evaluation)
    if let reason {
      let macs =
        OperatorCatalog.find(node)?.macs(
          OperatorNode(node, opset: opset), inputs: values.map { $0?.tensor?.shape },
          outputs: results.map { $0?.tensor?.shape }) ?? 0
      context.countFloat(macs)
      context.statistics.islands.append(
        FloatIsland(node: node.label, opType: node.opType, macs: macs, reason: reason))
    }
    return results.map { $0.map { .runtime($0) } }
  }
}
