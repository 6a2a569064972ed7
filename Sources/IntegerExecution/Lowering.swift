import FloatExecution
import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import QuantCore

/// Lowers the main graph of a model, on demand from its outputs.
///
/// A value of the graph can be wanted in three forms: as it is (`runtime`), as the bytes that a QuantizeLinear makes of it
/// (`bytes(of:)`), and as bytes with given parameters (`integer`). The last is where regions are fused: wanting
/// Relu(Conv(DQ, DQ)) with parameters P gives one convolution that requantizes to P.
final class Lowering {
  struct Form: Hashable {
    let value: Value
    let target: QuantizationTarget
  }

  let plan: IntegerPlan
  let graph: Graph
  let context: PlanContext
  var options: IntegerOptions { plan.options }
  private var runtimeSlots: [Value: Int] = [:]
  private var byteSlots: [Value: Int] = [:]
  var wideForms: [Value: WideForm?] = [:]
  /// The place of each node in the order of computation.
  var order: [Node: Int] = [:]
  private var integerSlots: [Form: Int?] = [:]
  private var constantCache: [Value: Tensor?] = [:]
  private var quantizationCache: [Node: LinearQuantization?] = [:]
  private var named: Set<Value> = []
  /// The types of all values; nil where the model contradicts itself.
  lazy var inference: GraphInference? = try? GraphInference(plan.model)
  /// Why a node that could run in integers does not.
  private var reasons: [Node: String] = [:]

  init(_ plan: IntegerPlan) {
    self.plan = plan
    graph = plan.model.graph
    context = PlanContext(model: plan.model)
  }

  func lower() throws {
    guard let order = graph.topologicalOrder() else {
      throw ExecutionError(.failed, "graph '\(graph.name ?? "")' has a cycle")
    }
    for (index, node) in order.enumerated() { self.order[node] = index }
    for port in graph.inputs {
      let slot = newSlot()
      plan.inputSlots.append(slot)
      if graph.initializer(for: port.value) == nil { setRuntime(port.value, slot) }
    }
    let needed = neededNodes(order)
    // Producers first, so that recursion stays as deep as one region.
    for node in order where needed.contains(node) {
      if node.opType == "QuantizeLinear", node.canonicalDomain.isEmpty, let output = node.output(0),
        constant(output) == nil,
        quantization(node)?.activation != nil
      {
        _ = try bytes(of: output)
      } else if node.opType == "QuantizeLinear", options.rounding == .fixed, let output = node.output(0),
        constant(output) == nil, quantization(node)?.sixteen != nil
      {
        _ = try runtime(output)
      }
    }
    for port in graph.outputs { plan.outputSlots.append(try runtime(port.value)) }
  }

  private func neededNodes(_ order: [Node]) -> Set<Node> {
    var needed: Set<Node> = []
    var wanted = Set(graph.outputs.map(\.value))
    for node in order.reversed() where node.outputs.contains(where: { $0.map(wanted.contains) ?? false }) {
      needed.insert(node)
      wanted.formUnion(node.inputs.compactMap { $0 })
    }
    return needed
  }

  // MARK: Slots

  func newSlot() -> Int {
    plan.slotCount += 1
    return plan.slotCount - 1
  }

  private func setRuntime(_ value: Value, _ slot: Int) {
    runtimeSlots[value] = slot
    name(value, slot, nil)
  }

  /// Lets taps see `value` in `slot`; the first form that exists is the one seen.
  func name(_ value: Value, _ slot: Int, _ parameters: ActivationParameters?) {
    guard named.insert(value).inserted else { return }
    plan.names[slot, default: []].append((value, parameters))
  }

  /// A step with one output.
  func emit(
    _ node: Node, _ kind: PlanStep.Kind, _ inputs: [Int?],
    _ body: @escaping (_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue
  ) -> Int {
    let slot = newSlot()
    plan.steps.append(
      PlanStep(node: node, kind: kind, inputs: inputs, outputs: [slot]) { inputs, context in [try body(inputs, context)]
      })
    return slot
  }

  /// A step with one output that an engine file can hold.
  func emit(_ node: Node, _ kind: PlanStep.Kind, _ inputs: [Int?], _ operation: some StoredOperation) -> Int {
    let slot = newSlot()
    plan.steps.append(
      PlanStep(
        node: node, kind: kind, inputs: inputs, outputs: [slot], operation: operation, body: operation.run))
    return slot
  }

  func constantSlot(_ value: PlanValue) -> Int {
    let slot = newSlot()
    plan.constants[slot] = value
    return slot
  }

  func refuse(_ node: Node, _ reason: String) -> Int? {
    if reasons[node] == nil { reasons[node] = reason }
    return nil
  }

  // MARK: Constants

  /// The tensor that a value always is: an initializer, or computed from initializers alone.
  func constant(_ value: Value) -> Tensor? {
    if let known = constantCache[value] { return known }
    constantCache[value] = .some(nil)  // a cycle ends here
    var result: Tensor?
    if let literal = graph.initializer(for: value) {
      result = try? literal.tensor()
    } else if let node = value.producer, node.subgraphs.isEmpty, !OperatorCatalog.isRandom(node) {
      result = fold(node, value)
    }
    constantCache[value] = .some(result)
    return result
  }

  private func fold(_ node: Node, _ value: Value) -> Tensor? {
    var inputs: [RuntimeValue?] = []
    var known: [Tensor?] = []
    for input in node.inputs {
      guard let input else {
        inputs.append(nil)
        known.append(nil)
        continue
      }
      guard let tensor = constant(input) else { return nil }
      inputs.append(.tensor(tensor))
      known.append(tensor)
    }
    guard let kernel = try? context.prepare(node, constants: known),
      let results = try? kernel.body(inputs, EvaluationContext(outputCount: node.outputs.count)),
      let index = node.outputs.firstIndex(where: { $0 === value }), index < results.count,
      case .tensor(let tensor) = results[index]
    else { return nil }
    return tensor
  }

  /// The only element of a constant.
  func scalar(_ value: Value?) -> Float? {
    guard let value, let tensor = constant(value), tensor.count == 1 else { return nil }
    return tensor.floats?.first
  }

  /// The constant scale and zero points of a QuantizeLinear or DequantizeLinear; nil for blocked or computed ones.
  func quantization(_ node: Node) -> LinearQuantization? {
    if let known = quantizationCache[node] { return known }
    let result = readQuantization(node)
    quantizationCache[node] = .some(result)
    return result
  }

  private func readQuantization(_ node: Node) -> LinearQuantization? {
    guard node.canonicalDomain.isEmpty || node.canonicalDomain == "com.microsoft",
      node.opType == "QuantizeLinear" || node.opType == "DequantizeLinear", (node.int("block_size") ?? 0) == 0,
      let scaleValue = node.input(1), let scale = constant(scaleValue), let scales = scale.floats, !scales.isEmpty,
      // What leaves an integer region is float32; a graph in half precision runs as it is written.
      scale.elementType == .float32
    else { return nil }
    var type: ElementType?
    var zeros = [Int](repeating: 0, count: scales.count)
    if let zeroValue = node.input(2) {
      guard let zero = constant(zeroValue), let integers = zero.integers, integers.count == scales.count else {
        return nil
      }
      type = zero.elementType
      zeros = integers
    } else if node.opType == "QuantizeLinear" {
      type = node.int("output_dtype").flatMap { $0 == 0 ? nil : ElementType(rawValue: Int32(clamping: $0)) } ?? .uint8
    } else {
      type = node.input(0).flatMap { constant($0)?.elementType ?? $0.type?.elementType }
      if type == nil, let producer = node.input(0)?.producer, producer.opType == "QuantizeLinear" {
        type = quantization(producer)?.elementType
      }
    }
    guard let type else { return nil }
    let isScalar = scale.rank == 0 || scales.count == 1
    return LinearQuantization(
      elementType: type, scales: scales, zeroPoints: zeros, axis: isScalar ? nil : node.int("axis") ?? 1)
  }

  // MARK: Sources

  /// The bytes and parameters that a DequantizeLinear turns into `value`.
  func source(_ value: Value) -> (quantized: Value, parameters: ActivationParameters)? {
    guard let node = value.producer, node.opType == "DequantizeLinear", let input = node.input(0),
      let parameters = quantization(node)?.activation
    else { return nil }
    return (input, parameters)
  }

  /// The weight that a DequantizeLinear gives: constant integers with their scales.
  func weight(_ value: Value) -> (tensor: Tensor, quantization: LinearQuantization)? {
    guard let node = value.producer, node.opType == "DequantizeLinear", let input = node.input(0),
      let quantization = quantization(node), let tensor = constant(input), tensor.elementType.isInteger
    else { return nil }
    return (tensor, quantization)
  }

  /// True where nothing but one node reads the value's elements.
  func isPrivate(_ value: Value) -> Bool {
    value.uses.lazy.filter { !Self.readsShapeOnly($0.node) }.count == 1 && !graph.isOutput(value)
  }

  static func readsShapeOnly(_ node: Node) -> Bool {
    (node.opType == "Shape" || node.opType == "Size") && node.canonicalDomain.isEmpty
  }

  // MARK: Bytes

  /// The biased bytes of an integer-typed value, in a slot.
  func bytes(of value: Value) throws -> Int {
    if let slot = byteSlots[value] { return slot }
    let slot: Int
    if let tensor = constant(value) {
      slot = constantSlot(.integer(IntegerTensor(standard: tensor, nil)))
    } else if let node = value.producer, node.opType == "QuantizeLinear", let input = node.input(0),
      let parameters = quantization(node)?.activation
    {
      slot = try integerOrQuantized(input, QuantizationTarget(parameters: parameters), at: node)
    } else {
      let runtime = try runtime(value)
      let node = value.producer ?? value.consumers.first ?? Node("Identity", inputs: [], outputs: [])
      slot = emit(node, .integer, [runtime], ImportBytesStep())
    }
    byteSlots[value] = slot
    for node in value.consumers where node.opType == "DequantizeLinear" {
      if let output = node.output(0), let parameters = quantization(node)?.activation { name(output, slot, parameters) }
    }
    return slot
  }

  /// `value` quantized to `target`: in integers where that is possible, else computed in float and quantized.
  func integerOrQuantized(_ value: Value, _ target: QuantizationTarget, at node: Node) throws -> Int {
    if let slot = try integer(value, target) { return slot }
    let runtime = try runtime(value)
    return emit(node, .border, [runtime], QuantizeStep(target))
  }

  /// `value` quantized to `target` in integer arithmetic; nil where that is not possible.
  func integer(_ value: Value, _ target: QuantizationTarget) throws -> Int? {
    let form = Form(value: value, target: target)
    if let known = integerSlots[form] { return known }
    let slot = try lowerInteger(value, target) ?? quantizedWide(value, target)
    integerSlots[form] = .some(slot)
    if let slot { name(value, slot, target.parameters) }
    return slot
  }

  private func lowerInteger(_ value: Value, _ target: QuantizationTarget) throws -> Int? {
    guard let node = value.producer, constant(value) == nil else { return nil }
    if let (quantized, parameters) = source(value) {
      let slot = try bytes(of: quantized)
      return rescale(slot, from: parameters, to: target, node)
    }
    guard node.canonicalDomain.isEmpty || node.canonicalDomain == "com.microsoft" else { return nil }
    if let slot = try table(value, target, node) { return slot }
    switch node.opType {
    case "Relu", "Clip":
      guard let input = node.input(0), isPrivate(value), let bounds = clampBounds(node) else { return nil }
      return try integer(input, target.clamped(low: bounds.low, high: bounds.high))
    case "Identity", "Dropout":
      guard let input = node.input(0), value === node.output(0), node.outputs.count == 1 else { return nil }
      return try integer(input, target)
    case "Conv", "Gemm", "MatMul", "ConvTranspose":
      guard isPrivate(value) else { return refuse(node, "its output is read as float too") }
      return hasSixteen(node) ? nil : try linear(node, .requantize(target))
    case "Add", "Sub", "Sum":
      return try sum(node, value, target)
    case "Mul":
      return try product(node, target)
    case "Concat":
      return try concat(node, target)
    case "MaxPool", "GlobalMaxPool":
      return try maxPool(node, value, target)
    case "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum":
      return try average(node, target)
    case "Where":
      return try selection(node, target)
    default:
      return try movement(node, value, target)
    }
  }

  /// The bounds of Relu or Clip; nil where they are not constants.
  func clampBounds(_ node: Node) -> (low: Float?, high: Float?)? {
    if node.opType == "Relu" { return (0, nil) }
    var low = node.float("min")
    var high = node.float("max")
    if let value = node.input(1) {
      guard let bound = scalar(value) else { return nil }
      low = bound
    }
    if let value = node.input(2) {
      guard let bound = scalar(value) else { return nil }
      high = bound
    }
    return low?.isNaN == true || high?.isNaN == true ? nil : (low, high)
  }

  /// Bytes with one set of parameters as bytes with another: a table, or nothing at all.
  func rescale(_ slot: Int, from: ActivationParameters, to target: QuantizationTarget, _ node: Node) -> Int? {
    if from.scale == target.parameters.scale, from.zero == target.parameters.zero, target.lowest == 0,
      target.highest == 255
    {
      return slot
    }
    guard let m = FixedPointMultiplier(from.scale, over: target.parameters.scale) else { return nil }
    let table: [UInt8]
    switch options.rounding {
    case .fixed:
      table = rescaleTable(inputZero: from.zero, by: IntegerMultiplier(m), output: target.output)
    case .binary32:
      table = (0..<256).map { target.bounded(target.parameters.quantize(from.dequantize(UInt8($0)))) }
    }
    return emit(node, .integer, [slot], TableStep(table))
  }

  // MARK: Runtime values

  /// The value as it is, in a slot.
  func runtime(_ value: Value) throws -> Int {
    if let slot = runtimeSlots[value] { return slot }
    if let tensor = constant(value) {
      let slot = constantSlot(.runtime(.tensor(tensor)))
      runtimeSlots[value] = slot
      return slot
    }
    guard let node = value.producer else {
      throw ExecutionError(.failed, "nothing defines '\(value.name)'")
    }
    if let slot = try runtimeFromIntegers(value, node) {
      setRuntime(value, slot)
      return slot
    }
    try island(node)
    guard let slot = runtimeSlots[value] else {
      throw ExecutionError(.failed, "output '\(value.name)' was not lowered", node: node)
    }
    return slot
  }

  private func runtimeFromIntegers(_ value: Value, _ node: Node) throws -> Int? {
    if node.opType == "QuantizeLinear", let parameters = quantization(node)?.activation {
      let slot = try bytes(of: value)
      return emit(node, .integer, [slot], ExportBytesStep(isSigned: parameters.isSigned))
    }
    if let (quantized, parameters) = source(value) {
      let slot = try bytes(of: quantized)
      return emit(node, .border, [slot], DequantizeStep(parameters))
    }
    if source16(value) != nil { return nil }
    switch node.opType {
    case "QuantizeLinear": return try sixteen(node)
    case "MatMulInteger", "ConvInteger": return try integerProduct(node)
    case "Conv", "Gemm", "MatMul", "ConvTranspose":
      if hasSixteen(node) { return try dequantizedWide(value, node) }
      // Accumulators that several readers want are computed once.
      return try isPrivate(value) || value.uses.isEmpty || wideForms[value] == nil
        ? linear(node, .dequantize) : dequantizedWide(value, node)
    case "Add": return try biasedProduct(node) ?? dequantizedWide(value, node)
    default: return try dequantizedWide(value, node)
    }
  }

  /// Runs the node with the operator's own kernel.
  private func island(_ node: Node) throws {
    let inputs = try node.inputs.map { try $0.map { try shaped($0, for: node) ?? runtime($0) } }
    let known = node.inputs.map { $0.flatMap { constant($0) } }
    let kernel = Result { try context.prepare(node, constants: known) }
    let outputs = node.outputs.map { value -> Int? in
      guard let value else { return nil }
      let slot = newSlot()
      setRuntime(value, slot)
      return slot
    }
    let type = OperatorCatalog.find(node)
    let opset = context.opsets[node.canonicalDomain] ?? 1
    let isBorder = node.opType == "QuantizeLinear" || node.opType == "DequantizeLinear"
    let reason = reasons[node] ?? defaultReason(node)
    let isMovement = type?.quantization.kind == .movement || node.opType == "Concat"
    let kind: PlanStep.Kind =
      isBorder ? .border : isMovement || isShapeArithmetic(node) ? .shape : .float(reason: reason)
    let operation = OperatorStep(
      node, reason: kind.reason, opset: opset, LazyKernel(kernel))
    plan.steps.append(
      PlanStep(
        node: node, kind: kind, inputs: inputs, outputs: outputs, operation: operation, body: operation.run))
  }

  /// For a node that asks a real for nothing but its shape: the bytes that a QuantizeLinear makes of it.
  private func shaped(_ value: Value, for node: Node) throws -> Int? {
    guard Self.readsShapeOnly(node), runtimeSlots[value] == nil,
      let reader = value.consumers.first(where: {
        $0.opType == "QuantizeLinear" && $0.input(0) === value && quantization($0)?.activation != nil
      }), let output = reader.output(0)
    else { return nil }
    let slot = try bytes(of: output)
    return runtimeSlots[value] == nil ? emit(node, .shape, [slot], ExportBytesStep(isSigned: false)) : nil
  }

  /// Operators whose results are integers or moved elements of integers: shapes, indices, masks.
  private func isShapeArithmetic(_ node: Node) -> Bool {
    switch node.opType {
    case "Shape", "Size", "NonZero", "ArgMax", "ArgMin": return true
    case "Cast":
      return node.int("to").flatMap { ElementType(rawValue: Int32(clamping: $0)) }.map { !$0.isFloatingPoint } ?? false
    default: break
    }
    return node.inputs.compactMap { $0 }.allSatisfy { isInteger($0, depth: 0) } && !node.inputs.isEmpty
  }

  private func isInteger(_ value: Value, depth: Int) -> Bool {
    if let tensor = constantCache[value] ?? nil { return !tensor.elementType.isFloatingPoint }
    if let type = value.type?.elementType { return !type.isFloatingPoint }
    guard let node = value.producer, depth < 16 else { return false }
    if ["Shape", "Size", "NonZero", "ArgMax", "ArgMin"].contains(node.opType) { return true }
    if node.opType == "Cast" {
      return node.int("to").flatMap { ElementType(rawValue: Int32(clamping: $0)) }.map { !$0.isFloatingPoint } ?? false
    }
    if QuantizationTraits.Kind.movement == OperatorCatalog.find(node)?.quantization.kind ?? .none {
      return node.input(0).map { isInteger($0, depth: depth + 1) } ?? false
    }
    return false
  }

  private func defaultReason(_ node: Node) -> String {
    let sources = node.inputs.compactMap { $0 }.filter { source($0) != nil }
    if sources.isEmpty { return "none of its inputs is quantized" }
    if node.outputs.contains(where: { $0?.consumers.contains { $0.opType == "QuantizeLinear" } ?? false }) {
      return "\(node.opType) has no integer form here, or not all of its inputs are quantized"
    }
    return "its output is not quantized"
  }
}

/// The bytes that a step is given at `index`.
func integerInput(_ inputs: [PlanValue?], _ index: Int) throws -> IntegerTensor {
  guard index < inputs.count, case .integer(let tensor) = inputs[index] else {
    throw ExecutionError(.failed, "input \(index) has no integers")
  }
  return tensor
}

extension IntegerMultiplier {
  init(_ m: FixedPointMultiplier) { self.init(m0: m.m0, shift: m.shift) }
}

extension QuantizationTarget {
  func bounded(_ byte: UInt8) -> UInt8 { min(max(byte, lowest), highest) }
}
