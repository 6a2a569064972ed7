import FloatExecution
import IntegerKernels
import ONNXGraph
import ONNXTensor
import QuantCore

extension Lowering {
  /// An operand of an elementwise operator: bytes in a slot.
  struct Operand {
    let slot: Int
    let parameters: ActivationParameters
  }

  func operand(_ value: Value) throws -> Operand? {
    if let (quantized, parameters) = source(value) {
      return Operand(slot: try bytes(of: quantized), parameters: parameters)
    }
    guard let parameters = movedParameters(value),
      let slot = try integer(value, QuantizationTarget(parameters: parameters))
    else { return nil }
    return Operand(slot: slot, parameters: parameters)
  }

  /// Add or Sub: a bias, a residual, or two quantized tensors.
  func sum(_ node: Node, _ value: Value, _ target: QuantizationTarget) throws -> Int? {
    guard node.inputs.count == 2, let left = node.input(0), let right = node.input(1) else {
      return refuse(node, "it has not two inputs")
    }
    let sign: Int32 = node.opType == "Sub" ? -1 : 1
    if let a = try operand(left), let b = try operand(right) {
      return add(node, a, b, sign, target)
    }
    guard sign == 1 else { return refuse(node, "not both inputs are quantized") }
    if isPrivate(value), let slot = try biasedProduct(node, .requantize(target)) { return slot }
    for (product, other) in [(left, right), (right, left)] {
      guard let producer = product.producer, ["Conv", "Gemm", "MatMul", "ConvTranspose"].contains(producer.opType),
        isPrivate(product), isPrivate(value),
        let residual = try operand(other)
      else { continue }
      if let slot = try linear(producer, .add(residual, target)) { return slot }
    }
    return refuse(node, "not both inputs are quantized")
  }

  private func add(_ node: Node, _ a: Operand, _ b: Operand, _ sign: Int32, _ target: QuantizationTarget) -> Int? {
    let slots = [a.slot, b.slot]
    if options.rounding == .binary32, sign == 1 {
      return emit(node, .integer, slots, AddStep(a.parameters, b.parameters, target, nil))
    }
    guard let ma = FixedPointMultiplier(a.parameters.scale, over: target.parameters.scale),
      let mb = FixedPointMultiplier(b.parameters.scale, over: target.parameters.scale)
    else { return refuse(node, "a scale is not finite and positive") }
    let multipliers = (IntegerMultiplier(ma), IntegerMultiplier(m0: sign * mb.m0, shift: mb.shift))
    return emit(node, .integer, slots, AddStep(a.parameters, b.parameters, target, multipliers))
  }

  func product(_ node: Node, _ target: QuantizationTarget) throws -> Int? {
    guard node.inputs.count == 2, let left = node.input(0), let right = node.input(1), let a = try operand(left),
      let b = try operand(right)
    else { return refuse(node, "not both inputs are quantized") }
    guard let m = FixedPointMultiplier(a.parameters.scale, times: b.parameters.scale, over: target.parameters.scale)
    else {
      return refuse(node, "a scale is not finite and positive")
    }
    let step = MultiplyStep(a.parameters, b.parameters, target, IntegerMultiplier(m))
    if let (slot, table) = productTable(step, a.slot, b.slot) { return emit(node, .integer, [slot], TableStep(table)) }
    return emit(node, .integer, [a.slot, b.slot], step)
  }

  /// A product whose operands are both functions of the same bytes, as x · Sigmoid(x), is one function of them.
  private func productTable(_ step: MultiplyStep, _ a: Int, _ b: Int) -> (slot: Int, table: [UInt8])? {
    func function(_ slot: Int) -> (of: Int, table: [UInt8])? {
      guard let step = plan.steps.last(where: { $0.outputs == [slot] }), let table = step.operation as? TableStep,
        step.inputs.count == 1, let input = step.inputs[0]
      else { return nil }
      return (input, table.table)
    }
    let identity = (0..<256).map { UInt8($0) }
    let x = function(a)
    let y = function(b)
    for root in [a, b, x?.of].compactMap({ $0 }) {
      guard let left = a == root ? identity : x?.of == root ? x?.table : nil,
        let right = b == root ? identity : y?.of == root ? y?.table : nil
      else { continue }
      return (root, step.table(left, right))
    }
    return nil
  }
}

/// Runs `body` over two operands under ONNX's broadcasting, channels last where that needs no copy.
func combine(
  _ inputs: [PlanValue?], _ context: StepContext,
  _ body: (BroadcastLoop, UnsafePointer<UInt8>, UnsafePointer<UInt8>, UnsafeMutablePointer<UInt8>) -> Void
) throws -> IntegerTensor {
  var a = try integerInput(inputs, 0)
  var b = try integerInput(inputs, 1)
  guard let shape = BroadcastLoop.shape(a.shape, b.shape) else {
    throw ExecutionError(.failed, "shapes \(a.shape) and \(b.shape) do not broadcast")
  }
  _ = try context.elementCount(shape)
  let channelsLast = shape.count > 2 && (a.isChannelsLast || b.isChannelsLast)
  if channelsLast {
    a = a.padded(toRank: shape.count).channelsLast(context.pool)
    b = b.padded(toRank: shape.count).channelsLast(context.pool)
  } else {
    a = a.plain(context.pool)
    b = b.plain(context.pool)
  }
  guard let loop = BroadcastLoop(a.bytes.shape, b.bytes.shape) else {
    throw ExecutionError(.failed, "shapes \(a.shape) and \(b.shape) broadcast over too many dimensions")
  }
  let stored = IntegerTensor.storedShape(shape, channelsLast: channelsLast)
  let result = Tensor(of: UInt8.self, shape: stored, pool: context.pool) { out in
    a.bytes.withElements(UInt8.self) { x in
      b.bytes.withElements(UInt8.self) { y in body(loop, x.baseAddress!, y.baseAddress!, out.baseAddress!) }
    }
  }
  return IntegerTensor(result, shape: shape, isChannelsLast: channelsLast)
}

extension IntegerTensor {
  /// The same elements with leading dimensions of 1.
  func padded(toRank rank: Int) -> IntegerTensor {
    guard shape.count < rank else { return self }
    let plain = plain(nil)
    let padded = [Int](repeating: 1, count: rank - shape.count) + shape
    return IntegerTensor(plain.bytes.reshaped(padded), shape: padded, isChannelsLast: false)
  }
}
