import CKernels
import FloatExecution
import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import QuantCore

/// Fixed point: what stands between two quantizations, or behind the last, and is no single fused step. Engines run such
/// operators inside one region; here they are integer arithmetic on codes with 20 to 30 significant bits.
extension Lowering {
  /// `value` in fixed point; nil where its producers have no such form or no bound.
  func wide(_ value: Value) throws -> WideForm? {
    guard options.rounding == .fixed else { return nil }
    if let known = wideForms[value] { return known }
    wideForms[value] = .some(nil)
    let form = try lowerWide(value)
    wideForms[value] = .some(form)
    if let form, constant(value) == nil {
      name(value, form.slot, nil)
      plan.fractions[form.slot] = form.fraction
    }
    return form
  }

  /// `value` quantized to `target` through fixed point.
  func quantizedWide(_ value: Value, _ target: QuantizationTarget) throws -> Int? {
    guard let node = value.producer, constant(value) == nil, let form = try wide(value),
      let m = FixedPointMultiplier(unit(form.fraction), over: target.parameters.scale)
    else { return nil }
    let step = WideQuantizeStep(multiplier: IntegerMultiplier(m), target: target)
    return emit(node, .integer, [form.slot], step)
  }

  /// The reals of `value` through fixed point, where something quantized goes in.
  func dequantizedWide(_ value: Value, _ node: Node) throws -> Int? {
    guard OperatorCatalog.find(node)?.quantization.kind != .movement || wideForms[value] != nil,
      let form = try wide(value), form.isQuantized
    else { return nil }
    return emit(node, .border, [form.slot], WideDequantizeStep(fraction: form.fraction))
  }

  private func unit(_ fraction: Int32) -> Float { Float(sign: .plus, exponent: -Int(fraction), significand: 1) }

  /// The form of a step's result, between bounds.
  private func form(
    _ node: Node, _ inputs: [WideForm], low: Double, high: Double, step: (Int32) -> (some WideStep)?
  ) -> WideForm? {
    guard let fraction = WideForm.fraction(low, high), let step = step(fraction) else { return nil }
    return WideForm(
      slot: emit(node, .integer, inputs.map(\.slot), step), fraction: fraction, low: low, high: high,
      isQuantized: inputs.contains(where: \.isQuantized))
  }

  private func lowerWide(_ value: Value) throws -> WideForm? {
    if let tensor = constant(value) { return wideConstant(tensor) }
    guard let node = value.producer else { return nil }
    if let (quantized, parameters) = source(value) { return try wideSource(node, quantized, parameters) }
    if let (quantized, parameters) = source16(value) { return try wideSource16(node, quantized, parameters) }
    guard node.canonicalDomain.isEmpty || node.canonicalDomain == "com.microsoft", value === node.output(0) else {
      return try wideMovement(node, value)
    }
    switch node.opType {
    case "Conv", "Gemm", "MatMul", "ConvTranspose":
      return hasSixteen(node) ? try wideSplit(node) : try wideProduct(node) { try linear(node, .wide($0)) }
    case "Relu", "Clip":
      guard let bounds = clampBounds(node), let x = try node.input(0).flatMap(wide) else { return nil }
      let low = bounds.low.map(Double.init) ?? -.infinity
      let high = bounds.high.map(Double.init) ?? .infinity
      func code(_ real: Double) -> Int32 {
        let scaled = (real * Double(sign: .plus, exponent: Int(x.fraction), significand: 1)).rounded(.toNearestOrEven)
        return scaled >= 0x1p31 ? .max : scaled < -0x1p31 ? .min : Int32(scaled)
      }
      let step = WideClampStep(low: min(code(low), code(high)), high: code(high))
      return WideForm(
        slot: emit(node, .integer, [x.slot], step), fraction: x.fraction, low: min(max(x.low, low), high),
        high: min(max(x.high, low), high), isQuantized: x.isQuantized)
    case "Identity", "Dropout":
      return node.outputs.count == 1 ? try node.input(0).flatMap(wide) : nil
    case "Softmax": return try wideSoftmax(node)
    case "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization": return try wideNormalization(node)
    case "GlobalAveragePool", "ReduceMean": return try wideMean(node)
    case "AveragePool": return try wideAveragePool(node)
    case "MaxPool", "GlobalMaxPool": return try wideMaxPool(node)
    case "Resize", "Upsample":
      if !isMovement(node) { return try wideResize(node) }
    case "Concat": return try wideConcat(node)
    case "Add":
      if let form = try wideProduct(node, { try biasedProduct(node, .wide($0)) }) { return form }
    default: break
    }
    if Self.elementwise.contains(node.opType) {
      if let form = try wideScaled(node) { return form }
      if node.opType == "PRelu", let form = try widePRelu(node) { return form }
      if let form = try wideFunction(value, node) { return form }
      return try wideBinary(node)
    }
    return try wideMovement(node, value)
  }

  // MARK: Leaves

  /// A constant's codes, and the fraction that they have; nil for what is not float.
  func wideCodes(_ tensor: Tensor, atMost limit: Int32 = 30) -> (
    codes: [Int32], fraction: Int32, range: (Double, Double)
  )? {
    guard tensor.elementType.isFloatingPoint, tensor.count > 0, let values = tensor.floats else { return nil }
    var low = 0.0
    var high = 0.0
    for value in values {
      guard value.isFinite else { return nil }
      low = min(low, Double(value))
      high = max(high, Double(value))
    }
    guard let fraction = WideForm.fraction(low, high).map({ min($0, limit) }) else { return nil }
    let codes = [Int32](unsafeUninitializedCapacity: values.count) { buffer, count in
      ck_wide_quantize(values, Int64(values.count), fraction, .max, buffer.baseAddress)
      count = values.count
    }
    return (codes, fraction, (low, high))
  }

  private func wideConstant(_ tensor: Tensor) -> WideForm? {
    guard let (codes, fraction, range) = wideCodes(tensor) else { return nil }
    let constant = constantSlot(.runtime(.tensor(Tensor(codes, shape: tensor.shape))))
    let slot = emit(Node("Constant", inputs: [], outputs: []), .integer, [constant], WideImportStep())
    return WideForm(slot: slot, fraction: fraction, low: range.0, high: range.1, isQuantized: false)
  }

  private func wideSource(_ node: Node, _ quantized: Value, _ p: ActivationParameters) throws -> WideForm? {
    let low = Double(-p.zero) * Double(p.scale)
    let high = Double(255 - p.zero) * Double(p.scale)
    guard let fraction = WideForm.fraction(low, high) else { return nil }
    let one = Double(sign: .plus, exponent: Int(fraction), significand: 1)
    let table = (0..<256).map { byte in
      Int32((Double(Int32(byte) - p.zero) * Double(p.scale) * one).rounded(.toNearestOrEven))
    }
    let slot = try bytes(of: quantized)
    return WideForm(
      slot: emit(node, .integer, [slot], WideLookupStep(table: table)), fraction: fraction, low: low, high: high,
      isQuantized: true)
  }

  private func wideProduct(_ node: Node, _ body: (WideFinish) throws -> Int?) throws -> WideForm? {
    let finish = WideFinish()
    guard let slot = try body(finish) else { return nil }
    return WideForm(slot: slot, fraction: finish.fraction, low: finish.low, high: finish.high, isQuantized: true)
  }

  // MARK: Arithmetic

  /// Mul or Div by a scalar constant.
  private func wideScaled(_ node: Node) throws -> WideForm? {
    guard node.opType == "Mul" || node.opType == "Div", node.inputs.count == 2, let left = node.input(0),
      let right = node.input(1)
    else { return nil }
    var factor: Float
    let input: Value
    if let c = scalar(right) {
      factor = c
      input = left
      if node.opType == "Div" {
        // Powers of two alone have an exact reciprocal in float32; others divide in double and are rounded once.
        factor = Float(1 / Double(c))
      }
    } else if node.opType == "Mul", let c = scalar(left) {
      factor = c
      input = right
    } else {
      return nil
    }
    guard factor.isFinite, let x = try wide(input) else { return nil }
    let ends = [x.low * Double(factor), x.high * Double(factor)]
    return form(node, [x], low: ends.min()!, high: ends.max()!) { fraction in
      WideScaleStep(multiplier: WideScale(factor, from: x.fraction, to: fraction).multiplier)
    }
  }

  private func wideBinary(_ node: Node) throws -> WideForm? {
    guard node.inputs.count == 2, let left = node.input(0), let right = node.input(1) else { return nil }
    let operation: WideBinaryStep.Operation
    switch node.opType {
    case "Add", "Sum": operation = .add
    case "Sub": operation = .subtract
    case "Mul": operation = .multiply
    default: return nil
    }
    if operation == .add, let form = try wideMasked(node, left, right) { return form }
    guard let a = try wide(left), let b = try wide(right) else { return nil }
    let ends: [Double]
    switch operation {
    case .add: ends = [a.low + b.low, a.high + b.high]
    case .subtract: ends = [a.low - b.high, a.high - b.low]
    case .multiply: ends = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    }
    return form(node, [a, b], low: ends.min()!, high: ends.max()!) { fraction in
      WideBinaryStep(operation: operation, fractions: (a.fraction, b.fraction, fraction))
    }
  }

  /// Scores plus a float mask on their way into Softmax alone. The mask is saturated at four times the scores' bound, at
  /// least 64: what it hides then weighs less than e^-32 beside what it does not hide.
  private func wideMasked(_ node: Node, _ left: Value, _ right: Value) throws -> WideForm? {
    guard let output = node.output(0), isPrivate(output), output.consumers.first?.opType == "Softmax" else {
      return nil
    }
    for (scores, mask) in [(left, right), (right, left)] {
      guard constant(mask) == nil, let x = try wide(scores), x.isQuantized, try wide(mask) == nil else { continue }
      let limit = max(4 * max(abs(x.low), abs(x.high)), 64)
      guard let fraction = WideForm.fraction(-1.25 * limit, 1.25 * limit) else { continue }
      let one = Double(sign: .plus, exponent: Int(fraction), significand: 1)
      let border = WideBorderStep(fraction: fraction, limit: Int32(limit * one))
      let slot = emit(node, .border, [try runtime(mask)], border)
      let m = WideForm(slot: slot, fraction: fraction, low: -limit, high: limit, isQuantized: false)
      return form(node, [x, m], low: x.low - limit, high: x.high + limit) { fraction in
        WideBinaryStep(operation: .add, fractions: (x.fraction, m.fraction, fraction))
      }
    }
    return nil
  }

  private func wideMean(_ node: Node) throws -> WideForm? {
    var axes = node.ints("axes")
    if node.opType == "ReduceMean", let value = node.input(1) {
      guard let integers = constant(value)?.integers else { return nil }
      axes = integers
    }
    guard node.opType == "GlobalAveragePool" || axes?.isEmpty == false, let x = try node.input(0).flatMap(wide) else {
      return nil
    }
    let step = WideMeanStep(
      axes: node.opType == "GlobalAveragePool" ? nil : axes,
      keeps: node.opType == "GlobalAveragePool" || (node.int("keepdims") ?? 1) != 0)
    return WideForm(
      slot: emit(node, .integer, [x.slot], step), fraction: x.fraction, low: x.low, high: x.high,
      isQuantized: x.isQuantized)
  }

  private func wideAveragePool(_ node: Node) throws -> WideForm? {
    let window = try poolAttributes(node)
    guard window.attributes.kernel != nil, let x = try node.input(0).flatMap(wide) else { return nil }
    let step = WideAveragePoolStep(window: window, includesPadding: (node.int("count_include_pad") ?? 0) != 0)
    return WideForm(
      slot: emit(node, .integer, [x.slot], step), fraction: x.fraction, low: min(x.low, 0), high: max(x.high, 0),
      isQuantized: x.isQuantized)
  }

  // MARK: Softmax and normalization

  private func wideSoftmax(_ node: Node) throws -> WideForm? {
    guard let x = try node.input(0).flatMap(wide) else { return nil }
    let flattens = (context.opsets[""] ?? 13) < 13
    let step = WideSoftmaxStep(
      fraction: x.fraction, axis: node.int("axis") ?? (flattens ? 1 : -1), flattens: flattens)
    return WideForm(
      slot: emit(node, .integer, [x.slot], step), fraction: 30, low: 0, high: 1, isQuantized: x.isQuantized)
  }

  private func wideNormalization(_ node: Node) throws -> WideForm? {
    let isCentred = node.opType == "LayerNormalization"
    guard node.outputs.compactMap({ $0 }).count == 1, let scale = node.input(1).flatMap({ constant($0) }),
      let (gamma, gammaFraction, gammaRange) = wideCodes(scale), gamma.count <= 1 << 20
    else {
      _ = refuse(node, "its scale is no constant")
      return nil
    }
    var beta: (codes: [Int32], fraction: Int32, range: (Double, Double))?
    if let value = node.input(2) {
      guard let tensor = constant(value), tensor.count == gamma.count, let codes = wideCodes(tensor, atMost: 24) else {
        _ = refuse(node, "its bias is no constant")
        return nil
      }
      beta = codes
    }
    guard let x = try node.input(0).flatMap(wide) else { return nil }
    let reach = Double(gamma.count).squareRoot() * max(abs(gammaRange.0), abs(gammaRange.1))
    let bounds = (beta?.range.0 ?? 0, beta?.range.1 ?? 0)
    let fallback: Float = 1e-5
    let epsilon = WideScale.exact(node.float("epsilon") ?? fallback)
    guard let widest = WideForm.fraction(bounds.0 - reach, bounds.1 + reach), epsilon.m0 >= 0 else { return nil }
    let fraction = min(widest, 24)
    let step = WideNormalizationStep(
      fractions: (x.fraction, fraction), isCentred: isCentred, epsilon: epsilon, gamma: gamma,
      gammaFraction: gammaFraction, beta: beta?.codes, betaFraction: beta?.fraction ?? 0, axis: node.int("axis") ?? -1)
    return WideForm(
      slot: emit(node, .integer, [x.slot], step), fraction: fraction, low: bounds.0 - reach, high: bounds.1 + reach,
      isQuantized: x.isQuantized)
  }

  // MARK: Movement

  private func wideConcat(_ node: Node) throws -> WideForm? {
    let inputs = node.inputs.compactMap { $0 }
    var forms: [WideForm] = []
    for input in inputs {
      guard let form = try wide(input) else { return nil }
      forms.append(form)
    }
    guard let fraction = forms.map(\.fraction).min(),
      (try? context.prepare(node, constants: inputs.map { _ in nil })) != nil
    else { return nil }
    let slots = forms.map { form in
      form.fraction == fraction
        ? form.slot
        : emit(
          node, .integer, [form.slot],
          WideScaleStep(multiplier: WideScale(1, from: form.fraction, to: fraction).multiplier))
    }
    let step = WideMovementStep(
      node: node, output: 0, fill: nil,
      kernel: LazyKernel(Result { try context.prepare(node, constants: inputs.map { _ in nil }) }))
    return WideForm(
      slot: emit(node, .integer, slots, step), fraction: fraction, low: forms.map(\.low).min() ?? 0,
      high: forms.map(\.high).max() ?? 0, isQuantized: forms.contains(where: \.isQuantized))
  }

  private func wideMovement(_ node: Node, _ value: Value) throws -> WideForm? {
    guard isMovement(node), let input = node.input(0), let index = value.outputIndex, let x = try wide(input) else {
      return nil
    }
    var low = x.low
    var high = x.high
    var fill: Int32?
    var inputs: [Int?] = [x.slot]
    for (position, other) in node.inputs.enumerated().dropFirst() {
      inputs.append(
        node.opType == "Pad" && position == 2 ? nil : try other.map { try runtime($0) })
    }
    if node.opType == "Pad", (node.string("mode") ?? "constant") == "constant" {
      guard node.attribute("pads") == nil else { return nil }
      var real: Float = 0
      if let given = node.input(2) {
        guard let constant = scalar(given), constant.isFinite else { return nil }
        real = constant
      }
      let code = (Double(real) * Double(sign: .plus, exponent: Int(x.fraction), significand: 1)).rounded(
        .toNearestOrEven)
      guard abs(code) < 0x1p31 else { return nil }
      fill = Int32(code)
      while inputs.count < 3 { inputs.append(nil) }
      low = min(low, Double(real))
      high = max(high, Double(real))
    }
    let known = node.inputs.enumerated().map { position, other in
      position == 0 || (node.opType == "Pad" && position == 2) ? nil : other.flatMap { constant($0) }
    }
    guard let kernel = try? context.prepare(node, constants: known) else { return nil }
    let step = WideMovementStep(node: node, output: index, fill: fill, kernel: LazyKernel(.success(kernel)))
    return WideForm(
      slot: emit(node, .integer, inputs, step), fraction: x.fraction, low: low, high: high, isQuantized: x.isQuantized)
  }
}
