import ONNXGraph
import ONNXTensor

extension LintRule {
  static let ovType = LintRule(
    "OV001", .warning, "OpenVINO computes on 8 bits: other integer types run in float.", fix: "use int8 or uint8")
  static let ovPartial = LintRule(
    "OV002", .warning, "Input and weight of a weighted operator are both quantized.", fix: "quantize the other, too")
  static let ovWeight = LintRule(
    "OV003", .warning, "Weights are int8 around 0: a convolution with others runs in float.",
    fix: "use int8 weights with zero point 0")
  static let ovUnit = LintRule(
    "OV004", .warning,
    "The pair behind a transposed input of the graph has another scale than 1: OpenVINO drops such a pair.",
    fix: "give the tensor a range that is a little wider")
  static let ovCentered = LintRule(
    "OV005", .warning,
    "Factors of a product of two activations and inputs of ConvTranspose have zero point 0; the second factor is int8.",
    fix: "quantize them symmetrically to int8")
  static let qnnFloat = LintRule(
    "QNN001", .warning, "Every operator reads DQ and feeds Q: float islands leave the accelerator.",
    fix: "put Q/DQ on all its tensors")
  static let qnnType = LintRule(
    "QNN002", .warning, "Activations are uint8 or uint16; signed ones split the graph.", fix: "use uint8 activations")
  static let qnnDynamic = LintRule(
    "QNN003", .error, "All shapes are known before the model runs.", fix: "export with fixed input shapes")
  static let integerFloat = LintRule(
    "INT001", .warning, "Every operator but those that move elements runs in integers.",
    fix: "insert Q/DQ for the target integer")

  static let otherTargets = [
    ovType, ovPartial, ovWeight, ovUnit, ovCentered, qnnFloat, qnnType, qnnDynamic, integerFloat,
  ]
}

/// Targets that take an operator into integers by the Q/DQ around it alone.
struct RegionRules {
  enum Engine { case openVINO, qnn, integer }
  let engine: Engine

  static let openVINO = RegionRules(engine: .openVINO)
  static let qnn = RegionRules(engine: .qnn)
  static let integer = RegionRules(engine: .integer)

  func run(_ context: LintContext, into report: inout LintReport) {
    // What the integer executor does, its own lowering says: the library adds it.
    guard engine != .integer else { return }
    if engine == .qnn, context.graph === context.model.graph {
      for value in context.graph.requiredInputs where value.type?.staticShape == nil {
        report.findings.append(
          LintFinding(
            rule: .qnnDynamic, severity: .error, node: nil, tensor: value.name,
            message: "input '\(value.name)' has no fixed shape", fix: LintRule.qnnDynamic.fix))
      }
    }
    for node in context.graph.nodes where context.quantizers[node] == nil {
      let inputs = node.inputs.indices.compactMap { context.dequantize(before: node, $0) }
      let outputs = node.outputs.flatMap { context.quantizes($0) }
      let (runsIn, rule, reason) = engine == .qnn ? qnn(node, inputs, outputs) : openVINO(node, inputs, context)
      report.nodes.append(NodePrediction(name: node.label, opType: node.opType, runsIn: runsIn, reason: reason))
      if let rule {
        report.findings.append(
          LintFinding(
            rule: rule, severity: rule.severity, node: node.label, tensor: node.output(0)?.name,
            message: "\(node.label) \(runsIn == "float" ? "runs in float: " : "")\(reason)", fix: rule.fix))
      }
    }
  }

  private func qnn(_ node: Node, _ inputs: [Quantizer], _ outputs: [Quantizer]) -> (String, LintRule?, String) {
    if node.isStandard("Constant") { return ("none", nil, "a constant") }
    guard let first = inputs.first, let last = outputs.first else {
      return ("float", inputs.isEmpty && outputs.isEmpty ? nil : .qnnFloat, "not all its tensors are quantized")
    }
    let kind = Quantizer.arithmetic(first.type)
    if [.int8, .int16].contains(last.type) { return (kind, .qnnType, "its output is signed: \(last.type.name)") }
    return (kind, nil, "DQ before it and Q behind it")
  }

  private func openVINO(
    _ node: Node, _ inputs: [Quantizer], _ context: LintContext
  ) -> (String, LintRule?, String) {
    if node.isStandard("Constant") { return ("none", nil, "a constant") }
    guard node.isStandard("Conv", "ConvTranspose", "Gemm", "MatMul") else {
      let outputs = node.outputs.flatMap { context.quantizes($0) }
      if let first = inputs.first, !outputs.isEmpty, OnnxRuntimeSelection.movement.contains(node.opType) {
        return (Quantizer.arithmetic(first.type), nil, "it moves integers")
      }
      return ("float", nil, "it has no int8 form, or fuses into what computes its input")
    }
    let data = context.dequantize(before: node, 0) ?? padded(node, context)
    let weight = context.dequantize(before: node, 1)
    guard let data, let weight else {
      return ("float", (data == nil) != (weight == nil) ? .ovPartial : nil, "one of its inputs is float")
    }
    guard OnnxRuntimeSelection.is8Bit(data.type), OnnxRuntimeSelection.is8Bit(weight.type) else {
      return ("float", .ovType, "\(data.type.name) by \(weight.type.name)")
    }
    if node.opType == "MatMul", !context.isConstantOperand(node.input(1)) {
      guard data.hasZeroPoint(0), weight.hasZeroPoint(0), weight.type == .int8 else {
        return (
          "float", .ovCentered,
          "a product of two activations with a zero point, or a second factor of \(weight.type.name)"
        )
      }
      return ("int8", nil, "both factors are quantized around 0")
    }
    if node.opType == "ConvTranspose", !data.hasZeroPoint(0) {
      return ("float", .ovCentered, "its input has a zero point")
    }
    let isSigned = weight.type == .int8
    let hasPoint = !weight.hasZeroPoint(0)
    if node.isStandard("Conv", "ConvTranspose") ? hasPoint || !isSigned : !isSigned && !hasPoint {
      return ("float", .ovWeight, "its weight is \(weight.type.name)\(hasPoint ? " with a zero point" : "")")
    }
    if data.scales == [1], data.hasZeroPoint(0), isTransposedInput(data, context) {
      return ("float", .ovUnit, "the pair on its input, of scale 1 and zero point 0, is dropped")
    }
    return ("int8", nil, "input and weight are quantized")
  }

  /// The DQ before a Pad with zeros, which a convolution takes in.
  private func padded(_ node: Node, _ context: LintContext) -> Quantizer? {
    guard node.isStandard("Conv"), let pad = node.input(0)?.producer, pad.isStandard("Pad"),
      pad.string("mode") ?? "constant" == "constant", pad.float("value") ?? 0 == 0,
      pad.input(2) == nil || context.constants.tensor(pad.input(2))?.floats?.first == 0
    else { return nil }
    return context.dequantize(before: pad, 0)
  }

  /// The pair stands behind a Transpose of an input of the graph.
  private func isTransposedInput(_ quantizer: Quantizer, _ context: LintContext) -> Bool {
    func source(_ value: Value?) -> Value? {
      var value = value
      for _ in 0..<4 {
        guard let node = value?.producer, context.quantizers[node] != nil else { break }
        value = node.input(0)
      }
      return value
    }
    guard let node = source(quantizer.node.input(0))?.producer, node.isStandard("Transpose") else { return false }
    return source(node.input(0)).map { context.graph.isInput($0) } ?? false
  }
}

/// Pairs of uint8 by int8 products that do not fit 16 bits.
struct SaturationRule {
  func run(_ context: LintContext, into report: inout LintReport) {
    for node in context.graph.nodes where node.isStandard("Conv", "Gemm", "MatMul") {
      guard let data = context.dequantize(before: node, 0), data.type == .uint8,
        let weight = context.dequantize(before: node, 1), weight.type == .int8,
        let values = context.constants.tensor(weight.node.input(0))?.integers
      else { continue }
      // Two products of 255 with the largest weight stay below 32768 up to 64.
      let largest = values.reduce(0) { max($0, abs($1)) }
      guard 2 * 255 * largest > 32767 else { continue }
      report.findings.append(
        LintFinding(
          rule: .ortSaturation, severity: .warning, node: node.label, tensor: node.input(1)?.name,
          message:
            "\(node.label) may saturate: weights up to \(largest) times inputs up to 255, summed in pairs in 16 bits",
          fix: LintRule.ortSaturation.fix))
    }
  }
}
