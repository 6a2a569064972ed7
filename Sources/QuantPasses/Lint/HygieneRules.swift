import ONNXGraph
import ONNXTensor

extension LintRule {
  static let badScale = LintRule(
    "QDQ001", .error, "A scale is positive and finite.", fix: "calibrate again; a tensor without range stays float")
  static let tinyScale = LintRule(
    "QDQ002", .warning, "A scale is a normal float: engines flush smaller ones to zero.",
    fix: "give the tensor a range of at least 1e-30, or leave it float")
  static let requantization = LintRule(
    "QDQ003", .warning,
    "Where a DQ feeds a Q of as many bits, both have the same parameters; else values are rounded twice.",
    fix: "use one scale and zero point for the tensor")
  static let doublePair = LintRule(
    "QDQ004", .warning, "A tensor is quantized once, not by two equal pairs in a row.", fix: "take the second pair out")
  static let unread = LintRule(
    "QDQ005", .warning, "The result of each Q and DQ is read.", fix: "take the node out")
  static let axis = LintRule(
    "QDQ006", .error, "The axis exists, and there is one scale for each index along it.",
    fix: "set axis to the dimension that has as many elements as there are scales")
  static let shapeTensor = LintRule(
    "QDQ007", .error, "Shapes, indices and sizes are not quantized.", fix: "feed the operand without Q/DQ")
  static let deadRange = LintRule(
    "QDQ008", .info, "A weight uses more than half of its codes.",
    fix: "quantize it with the scale of its largest value")
  static let floatWeight = LintRule(
    "QDQ009", .info, "A weight is stored as integers, not as a float constant before Q.",
    fix: "store the integers: a fourth of the size")
  static let hole = LintRule(
    "QDQ010", .warning, "Between quantized operators no weighted operator stays float.",
    fix: "quantize its input and weight")
  static let mixedReaders = LintRule(
    "QDQ011", .info, "All readers of a quantized tensor read the DQ.", fix: "let the float readers read the DQ, too")
  static let implicitZeroPoint = LintRule(
    "QDQ012", .info, "The zero point is written: without it the type is uint8 by the standard, int8 for some engines.",
    fix: "write the zero point 0 of the type that the standard means")
  static let zeroPointCount = LintRule(
    "QDQ013", .error, "There are as many zero points as scales.", fix: "make both of one shape")

  static let hygiene = [
    badScale, tinyScale, requantization, doublePair, unread, axis, shapeTensor, deadRange, floatWeight, hole,
    mixedReaders, implicitZeroPoint, zeroPointCount,
  ]
}

/// What holds for Q/DQ models whatever the target.
struct HygieneRules {
  func run(_ context: LintContext, into report: inout LintReport) {
    for node in context.graph.nodes {
      if let quantizer = context.quantizers[node] {
        parameters(quantizer, context, &report)
        placement(quantizer, context, &report)
      } else {
        weighted(node, context, &report)
      }
    }
  }

  private func add(
    _ report: inout LintReport, _ rule: LintRule, _ node: Node, _ tensor: Value?, _ message: String,
    isFixable: Bool = false
  ) {
    report.findings.append(
      LintFinding(
        rule: rule, severity: rule.severity, node: node.label, tensor: tensor?.name, message: message, fix: rule.fix,
        isFixable: isFixable))
  }

  private func parameters(_ quantizer: Quantizer, _ context: LintContext, _ report: inout LintReport) {
    let node = quantizer.node
    let tensor = quantizer.isQuantize ? node.input(0) : node.output(0)
    if let scales = quantizer.scales {
      if let bad = scales.first(where: { !($0 > 0) || !$0.isFinite }) {
        add(&report, .badScale, node, tensor, "\(node.label) has the scale \(bad)")
      } else if let tiny = scales.first(where: { !$0.isNormal }) {
        add(&report, .tinyScale, node, tensor, "\(node.label) has the subnormal scale \(tiny)")
      }
      if let points = quantizer.zeroPoints, points.count != scales.count {
        add(
          &report, .zeroPointCount, node, tensor,
          "\(node.label) has \(scales.count) scales and \(points.count) zero points")
      }
    }
    if !quantizer.hasZeroPoint, quantizer.scales != nil {
      add(
        &report, .implicitZeroPoint, node, tensor, "\(node.label) has no zero point: \(quantizer.type.name) by default",
        isFixable: quantizer.type.bitWidth == 8 && !quantizer.type.isFloatingPoint)
    }
    let shape = context.constantShape(node.input(0)) ?? node.input(0)?.type?.staticShape
    guard let scaleShape = quantizer.scaleShape, scaleShape.count == 1, scaleShape[0] > 1, let shape else { return }
    let axis = quantizer.axis < 0 ? quantizer.axis + shape.count : quantizer.axis
    if !shape.indices.contains(axis) {
      add(
        &report, .axis, node, tensor, "\(node.label) has axis \(quantizer.axis), its tensor \(shape.count) dimensions")
    } else if shape[axis] != scaleShape[0] {
      add(
        &report, .axis, node, tensor,
        "\(node.label) has \(scaleShape[0]) scales for axis \(quantizer.axis) of \(shape[axis]) elements")
    }
  }

  private func placement(_ quantizer: Quantizer, _ context: LintContext, _ report: inout LintReport) {
    let node = quantizer.node
    if let output = node.output(0), output.uses.isEmpty, !context.outputs.contains(output),
      !context.captured.contains(output)
    {
      add(&report, .unread, node, output, "nothing reads the result of \(node.label)", isFixable: true)
    }
    if quantizer.isQuantize, let before = context.dequantize(node.input(0)?.producer) {
      if before.hasParameters(of: quantizer) {
        add(
          &report, .doublePair, node, node.input(0),
          "\(node.label) quantizes again what \(before.node.label) gave back",
          isFixable: isSecondPair(quantizer, context))
      } else if before.isConstant, quantizer.isConstant, before.type.bitWidth == quantizer.type.bitWidth {
        add(
          &report, .requantization, node, node.input(0),
          "\(before.node.label) (\(OnnxRuntimeSelection.text(before))) feeds \(node.label) "
            + "(\(OnnxRuntimeSelection.text(quantizer)))")
      }
    }
    if quantizer.isQuantize, let input = node.input(0), context.constants.isConstant(input) {
      add(&report, .floatWeight, node, input, "\(input.name) is stored in float before \(node.label)")
    } else if quantizer.isQuantize, let input = node.input(0) {
      let others = input.consumers.filter { context.quantizers[$0] == nil }
      if let reader = others.first, context.dequantize(input.producer) == nil {
        add(
          &report, .mixedReaders, node, input,
          "\(input.name) is quantized by \(node.label) and read in float by \(reader.label)")
      }
    }
    if !quantizer.isQuantize {
      for use in node.output(0)?.uses ?? [] where Self.isShapeOperand(use) {
        add(&report, .shapeTensor, node, node.output(0), "\(use.node.label) reads \(node.label) as a shape or an index")
      }
      deadRange(quantizer, context, &report)
    }
  }

  /// Q after DQ, and all readers of that Q are DQ with the same parameters.
  private func isSecondPair(_ quantizer: Quantizer, _ context: LintContext) -> Bool {
    guard let output = quantizer.node.output(0), !context.outputs.contains(output),
      !context.captured.contains(output)
    else { return false }
    return output.consumers.allSatisfy { reader in
      guard let next = context.dequantize(reader), let real = reader.output(0) else { return false }
      return next.hasParameters(of: quantizer) && !context.outputs.contains(real) && !context.captured.contains(real)
    }
  }

  static func isShapeOperand(_ use: Value.Use) -> Bool {
    guard use.node.isStandard else { return false }
    switch use.node.opType {
    case "Reshape", "Expand", "Tile", "Slice", "Unsqueeze", "Squeeze", "TopK", "Gather", "GatherElements", "Split",
      "ReduceSum", "ReduceMean":
      return use.index >= 1
    case "ConstantOfShape", "Range": return true
    case "Resize": return use.index == 3
    default: return false
    }
  }

  private func deadRange(_ quantizer: Quantizer, _ context: LintContext, _ report: inout LintReport) {
    let node = quantizer.node
    guard quantizer.type == .int8 || quantizer.type == .uint8, let points = quantizer.zeroPoints, quantizer.isScalar,
      let point = points.first, let codes = context.constants.tensor(node.input(0)), codes.count >= 16,
      let values = codes.integers
    else { return }
    let largest = values.reduce(0) { max($0, abs($1 - point)) }
    if largest > 0, largest < 64 {
      add(
        &report, .deadRange, node, node.output(0),
        "\(node.output(0)?.name ?? "") uses codes up to \(largest) from its zero point only: a bit or more is lost")
    }
  }

  private func weighted(_ node: Node, _ context: LintContext, _ report: inout LintReport) {
    guard node.isStandard("Conv", "ConvTranspose", "Gemm", "MatMul"), let data = node.input(0),
      let output = node.output(0),
      context.dequantize(before: node, 0) == nil, context.dequantize(before: node, 1) == nil,
      let before = data.producer, Self.isQuantizedWeighted(before, context),
      output.consumers.contains(where: { Self.isQuantizedWeighted($0, context) })
    else { return }
    add(&report, .hole, node, output, "\(node.label) is float between quantized operators")
  }

  private static func isQuantizedWeighted(_ node: Node, _ context: LintContext) -> Bool {
    if context.quantizers[node] != nil { return true }
    return node.isStandard("Conv", "ConvTranspose", "Gemm", "MatMul") && context.dequantize(before: node, 0) != nil
  }
}
