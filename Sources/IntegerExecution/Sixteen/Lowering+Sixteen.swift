import FloatExecution
import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import QuantCore

/// 16-bit activations and weights. Weighted operators sum bytes exactly and put them together in 64 bits; everything else is
/// fixed point between the codes (docs/numerics.md). onnxruntime computes in float there, and so does the float32 rule.
extension Lowering {
  /// The 16-bit codes and parameters that a DequantizeLinear turns into `value`.
  func source16(_ value: Value) -> (quantized: Value, parameters: SixteenBitParameters)? {
    guard options.rounding == .fixed, let node = value.producer, node.opType == "DequantizeLinear",
      let input = node.input(0), let parameters = quantization(node)?.sixteen
    else { return nil }
    return (input, parameters)
  }

  /// The codes of a 16-bit QuantizeLinear as a tensor in a slot; nil where nothing quantized goes in.
  func sixteen(_ node: Node) throws -> Int? {
    guard options.rounding == .fixed, node.opType == "QuantizeLinear", let input = node.input(0),
      let parameters = quantization(node)?.sixteen
    else { return nil }
    return try codes16(input, SixteenBitTarget(parameters), node)
  }

  private func codes16(_ value: Value, _ target: SixteenBitTarget, _ quantize: Node) throws -> Int? {
    guard let node = value.producer, constant(value) == nil else { return nil }
    if let (quantized, parameters) = source16(value), parameters == target.parameters, target.isWhole {
      return try runtime(quantized)
    }
    switch node.opType {
    case "Relu", "Clip":
      if let input = node.input(0), isPrivate(value), let bounds = clampBounds(node) {
        return try codes16(input, target.clamped(low: bounds.low, high: bounds.high), quantize)
      }
    case "Conv", "Gemm", "MatMul":
      if isPrivate(value), let slot = try split(node, .codes(target))?.slot { return slot }
    default: break
    }
    guard let form = try wide(value), form.isQuantized,
      let m = FixedPointMultiplier(
        Float(sign: .plus, exponent: -Int(form.fraction), significand: 1), over: target.parameters.scale)
    else { return nil }
    return emit(quantize, .integer, [form.slot], SixteenExportStep(IntegerMultiplier(m), target))
  }

  /// Fixed point of 16-bit codes.
  func wideSource16(_ node: Node, _ quantized: Value, _ p: SixteenBitParameters) throws -> WideForm? {
    let low = Double(p.lowest - p.zero) * Double(p.scale)
    let high = Double(p.highest - p.zero) * Double(p.scale)
    guard let fraction = WideForm.fraction(low, high),
      let m = FixedPointMultiplier(p.scale, over: Float(sign: .plus, exponent: -Int(fraction), significand: 1))
    else { return nil }
    let step = SixteenImportStep(zero: p.zero, isSigned: p.isSigned, multiplier: IntegerMultiplier(m))
    return WideForm(
      slot: emit(node, .integer, [try runtime(quantized)], step), fraction: fraction, low: low, high: high,
      isQuantized: true)
  }

  /// Fixed point of a weighted operator with an operand of 16 bits.
  func wideSplit(_ node: Node) throws -> WideForm? { try split(node, nil)?.form }

  /// As `movedParameters`. Fixed point keeps codes exactly: it has 14 bits behind them.
  private func movedParameters16(_ value: Value) -> SixteenBitParameters? {
    guard let node = value.producer, node.canonicalDomain.isEmpty, node.opType != "Pad",
      isMovement(node) || node.opType == "MaxPool", let input = node.input(0)
    else { return nil }
    return source16(input)?.parameters ?? movedParameters16(input)
  }

  // MARK: Weighted operators

  private struct Operand16 {
    let slot: Int
    let scale: Float
    let split: SplitOperand
  }

  private func operand16(_ value: Value) throws -> Operand16? {
    if let (quantized, p) = source16(value) {
      let split = SplitOperand(zero: p.raisedZero, isWide: true, isSigned: p.isSigned)
      return Operand16(slot: try runtime(quantized), scale: p.scale, split: split)
    }
    if let p = movedParameters16(value), let node = value.producer,
      let slot = try codes16(value, SixteenBitTarget(p), node)
    {
      return Operand16(
        slot: slot, scale: p.scale, split: SplitOperand(zero: p.raisedZero, isWide: true, isSigned: p.isSigned))
    }
    guard constant(value) == nil, let x = try operand(value) else { return nil }
    let split = SplitOperand(zero: x.parameters.zero, isWide: false, isSigned: x.parameters.isSigned)
    return Operand16(slot: x.slot, scale: x.parameters.scale, split: split)
  }

  /// Whether an operand has 16 bits: then the node is none of `linear`'s.
  func hasSixteen(_ node: Node) -> Bool {
    guard options.rounding == .fixed, ["Conv", "Gemm", "MatMul"].contains(node.opType) else { return false }
    return node.inputs.prefix(2).contains { value in
      guard let value else { return false }
      return source16(value) != nil || movedParameters16(value) != nil
        || weight(value).map { [.int16, .uint16].contains($0.tensor.elementType) } ?? false
    }
  }

  /// A weighted operator to codes of `result`, or to fixed point where that is nil.
  private func split(
    _ node: Node, _ result: SplitFinish.Result?
  ) throws -> (slot: Int, form: WideForm?)? {
    guard hasSixteen(node), let left = node.input(0), let right = node.input(1) else { return nil }
    guard let x = try operand16(left) else {
      _ = refuse(node, "its input is not quantized with one scale")
      return nil
    }
    if weight(right) == nil {
      guard node.opType == "MatMul" else {
        _ = refuse(node, "its weights are not quantized")
        return nil
      }
      return try splitActivations(node, x, left, right, result)
    }
    return try splitWeights(node, x, right, result)
  }

  /// The end of the sums, and the fixed-point form that it gives.
  private func finish(
    _ node: Node, _ result: SplitFinish.Result?, scales: [(Float, Float)], least: [Int64], greatest: [Int64]
  ) -> (end: SplitFinish, form: (fraction: Int32, low: Double, high: Double)?)? {
    var low = 0.0
    var high = 0.0
    for n in least.indices {
      let unit = Double(scales[scales.count > 1 ? n : 0].0) * Double(scales[scales.count > 1 ? n : 0].1)
      low = min(low, Double(least[n]) * unit)
      high = max(high, Double(greatest[n]) * unit)
    }
    let chosen: SplitFinish.Result
    let divisor: Float
    var form: (fraction: Int32, low: Double, high: Double)?
    switch result {
    case .codes(let target)?:
      chosen = .codes(target)
      divisor = target.parameters.scale
    default:
      guard let fraction = WideForm.fraction(low * 1.000001, high * 1.000001) else {
        _ = refuse(node, "its sums of up to \(max(-low, high)) have no fixed-point form")
        return nil
      }
      chosen = .fixedPoint(fraction)
      divisor = Float(sign: .plus, exponent: -Int(fraction), significand: 1)
      form = (fraction, low, high)
    }
    var multipliers: [IntegerMultiplier] = []
    for (input, weight) in scales {
      guard let m = FixedPointMultiplier.extended(input, times: weight, over: divisor) else {
        _ = refuse(node, "a scale is not finite and positive")
        return nil
      }
      multipliers.append(IntegerMultiplier(m))
    }
    return (SplitFinish(chosen, multipliers), form)
  }

  private func emitSplit(
    _ node: Node, _ inputs: [Int?], _ step: some StoredOperation,
    _ form: (fraction: Int32, low: Double, high: Double)?
  ) -> (slot: Int, form: WideForm?) {
    let slot = emit(node, .integer, inputs, step)
    return (
      slot,
      form.map { WideForm(slot: slot, fraction: $0.fraction, low: $0.low, high: $0.high, isQuantized: true) }
    )
  }

  private func splitActivations(
    _ node: Node, _ a: Operand16, _ left: Value, _ right: Value, _ result: SplitFinish.Result?
  ) throws -> (slot: Int, form: WideForm?)? {
    guard let b = try operand16(right) else {
      _ = refuse(node, "its second input is not quantized with one scale")
      return nil
    }
    var depth = SplitActivationProductStep.limit
    if result == nil {
      guard let known = extent(left, fromLast: 0) ?? extent(right, fromLast: 1), known <= depth else {
        _ = refuse(node, "the number of its products is not known before it runs")
        return nil
      }
      depth = known
    }
    let bound = Int64(depth) * Int64(a.split.highest) * Int64(b.split.highest)
    guard let end = finish(node, result, scales: [(a.scale, b.scale)], least: [-bound], greatest: [bound]) else {
      return nil
    }
    let step = SplitActivationProductStep(a.split, b.split, most: depth, end.end)
    return emitSplit(node, [a.slot, b.slot], step, end.form)
  }

  private func splitWeights(
    _ node: Node, _ x: Operand16, _ value: Value, _ result: SplitFinish.Result?
  ) throws -> (slot: Int, form: WideForm?)? {
    guard let (tensor, quantization) = weight(value), tensor.count > 0 else { return nil }
    let isConvolution = node.opType == "Conv"
    let isTransposed = isConvolution || (node.int("transB") ?? 0) != 0
    guard isConvolution ? (3...5).contains(tensor.rank) : tensor.rank == 2 else {
      _ = refuse(node, "its weights have \(tensor.rank) axes")
      return nil
    }
    if node.opType == "Gemm" {
      guard (node.int("transA") ?? 0) == 0, (node.float("alpha") ?? 1) == 1, (node.float("beta") ?? 1) == 1 else {
        _ = refuse(node, "transA, alpha or beta is not the default")
        return nil
      }
    }
    let channelAxis = isTransposed ? 0 : 1
    guard let weights = read16(tensor, quantization, channelAxis: channelAxis) else {
      _ = refuse(node, "its weights are not integers of at most 16 bits with scales along axis \(channelAxis)")
      return nil
    }
    let outputs = tensor.shape[channelAxis]
    var bias: [Int64]?
    if let biasValue = node.input(2) {
      guard let read = readBias16(biasValue, input: x.scale, weights.scales) else {
        _ = refuse(node, "its bias is not a constant row within 61 bits of its accumulators' scale")
        return nil
      }
      bias = read
    }
    var description = ConvolutionDescription(
      channels: weights.tensor.shape[1], outputs: outputs, inputZero: 0, weights: [])
    var window: WindowFields?
    let groups = isConvolution ? node.int("group") ?? 1 : 1
    if isConvolution {
      let fields = try WindowFields(OperatorNode(node, opset: context.opsets[""] ?? 1))
      guard let sizes = ConvolutionDescription(split: tensor.shape, groups: groups, fields) else {
        _ = refuse(node, "its weights do not fit its groups and attributes")
        return nil
      }
      description = sizes
      window = fields
    }
    func content(_ end: SplitFinish) -> SplitProduct.Content {
      SplitProduct.Content(
        description: description, operand: x.split, weights: weights.tensor, zeros: weights.zeros, bias: bias, end: end)
    }
    let open = content(SplitFinish(.fixedPoint(0), []))
    if let (output, least, greatest) = try SplitProduct.overflow(open) {
      _ = refuse(
        node, "a part of the accumulator of output \(output) may reach \(least) ... \(greatest), beyond 32 bits")
      return nil
    }
    let bounds = SplitProduct.bounds(open)
    guard
      let end = finish(
        node, result, scales: weights.scales.map { (x.scale, $0) }, least: bounds.least, greatest: bounds.greatest)
    else { return nil }
    let product = SplitProduct(content(end.end))
    if let window {
      return emitSplit(node, [x.slot], SplitConvolutionStep(window, groups: groups, product), end.form)
    }
    return emitSplit(node, [x.slot], SplitMatrixProductStep(product), end.form)
  }

  /// Weights as int8 or int16 [outputs][depth...], with one zero point and scale for each output.
  private func read16(
    _ tensor: Tensor, _ quantization: LinearQuantization, channelAxis: Int
  ) -> (tensor: Tensor, zeros: [Int32]?, scales: [Float])? {
    let outputs = tensor.shape[channelAxis]
    if let axis = quantization.axis {
      guard (axis < 0 ? axis + tensor.rank : axis) == channelAxis, quantization.scales.count == outputs else {
        return nil
      }
    }
    guard quantization.scales.allSatisfy({ $0.isFinite && $0 >= 0 }), var values = tensor.integers else { return nil }
    let offset: Int
    switch tensor.elementType {
    case .uint8: offset = 128
    case .uint16: offset = 32768
    case .int8, .int16, .int4, .uint4, .int2, .uint2: offset = 0
    default: return nil
    }
    var shape = tensor.shape
    if channelAxis == 1 {
      let depth = tensor.shape[0]
      var moved = values
      for k in 0..<depth { for n in 0..<outputs { moved[n * depth + k] = values[k * outputs + n] } }
      values = moved
      shape = [outputs, depth]
    }
    func spread<T>(_ list: [T]) -> [T] { list.count == outputs ? list : [T](repeating: list[0], count: outputs) }
    let zeros = spread(quantization.zeroPoints.map { Int32(clamping: $0 - offset) })
    let isWide = tensor.elementType == .int16 || tensor.elementType == .uint16
    return (
      isWide
        ? Tensor(values.map { Int16(clamping: $0 - offset) }, shape: shape)
        : Tensor(values.map { Int8(clamping: $0 - offset) }, shape: shape),
      zeros.allSatisfy { $0 == 0 } ? nil : zeros, spread(quantization.scales)
    )
  }

  /// The bias in accumulator units, half to even, in 64 bits.
  private func readBias16(_ value: Value, input: Float, _ scales: [Float]) -> [Int64]? {
    guard let tensor = constant(value), let reals = tensor.floats,
      tensor.rank <= 1 || tensor.count == tensor.shape.last,
      reals.count == 1 || reals.count == scales.count
    else { return nil }
    var exact: (integers: [Int], scales: [Float])?
    if let (tensor, quantization) = weight(value), quantization.zeroPoints.allSatisfy({ $0 == 0 }),
      let integers = tensor.integers
    {
      exact = (integers, quantization.scales)
    }
    var result: [Int64] = []
    for n in scales.indices {
      let at = reals.count > 1 ? n : 0
      if let exact, exact.integers.count == reals.count,
        exact.scales[exact.scales.count > 1 ? at : 0] == input * scales[n]
      {
        result.append(Int64(exact.integers[at]))
        continue
      }
      let unit = Double(input) * Double(scales[n])
      let units = reals[at] == 0 ? 0 : (Double(reals[at]) / unit).rounded(.toNearestOrEven)
      guard abs(units) < 0x1p61 else { return nil }
      result.append(Int64(units))
    }
    return result
  }
}
