import ONNXGraph
import ONNXTensor

extension LintRule {
  static let trtZeroPoint = LintRule(
    "TRT001", .error, "Zero points are 0: TensorRT quantizes symmetrically.",
    fix: "insert Q/DQ for tensorrt: int8, zero point 0")
  static let trtConstant = LintRule(
    "TRT002", .error, "Zero points are constants, one per scale.", fix: "store the zero points as initializers")
  static let trtType = LintRule(
    "TRT003", .error, "The quantized type is int8, float8e4m3fn, int4 or float4e2m1.",
    fix: "uint8 with zero point 128 is int8 with zero point 0: subtract 128 from the codes")
  static let trtImplicit = LintRule(
    "TRT004", .warning, "The zero point is written: without it ONNX means uint8, TensorRT int8.",
    fix: "write an int8 zero point 0")
  static let trtScale = LintRule(
    "TRT005", .error, "Scales are positive finite constants of a floating-point type.",
    fix: "store positive scales as initializers")
  static let trtScaleShape = LintRule(
    "TRT006", .error, "There is one scale, one per index of the axis, or (4-bit and float8 only) one per block.",
    fix: "give the scale one of these shapes")
  static let trtChannels = LintRule(
    "TRT007", .error, "Only constants have several scales; activations have one.",
    fix: "quantize the activation per tensor")
  static let trtBias = LintRule(
    "TRT008", .error, "A bias is float: int32 behind DQ is refused.", fix: "store the bias as float")
  static let trtForm = LintRule(
    "TRT009", .error,
    "Quantization is written as Q/DQ of the standard: no QLinear or integer operators, no other domain.",
    fix: "export the model in Q/DQ form")
  static let trtOpset = LintRule(
    "TRT010", .error,
    "The opset knows what is used: 10 for Q/DQ, 13 for an axis, 19 for float8, 21 for int4 and blocks.",
    fix: "raise the opset")
  static let trtInput = LintRule(
    "TRT011", .error, "Q reads floating-point tensors with at least one dimension.",
    fix: "reshape a scalar to one element")
  static let trtAxis = LintRule(
    "TRT012", .error, "Several scales of a weight lie along its output channels.",
    fix: "axis 0 for Conv, 1 for ConvTranspose, the columns for MatMul and Gemm (the rows with transB)")
  static let trtPair = LintRule(
    "TRT013", .error, "A Q and its DQ have the same parameters.", fix: "give both the same scale, zero point and axis")
  static let trtRefit = LintRule(
    "TRT014", .info, "Tensors with several quantized readers have equal scales; TensorRT freezes that, so no refit.",
    fix: "build the engine anew instead of refitting it")
  static let trtPartial = LintRule(
    "TRT101", .warning, "All inputs of a weighted operator are quantized, or none.",
    fix: "quantize the other input, too")
  static let trtInside = LintRule(
    "TRT103", .warning, "Between a convolution and the activation that fuses with it there is no Q/DQ.",
    fix: "take the pair out: the Q belongs after the activation")
  static let trtResidual = LintRule(
    "TRT104", .warning, "A residual Add has Q/DQ on its skip input only.",
    fix: "take the pair on the convolution's branch out")
  static let trtFanOut = LintRule(
    "TRT107", .warning, "One tensor has one scale, whoever reads it.", fix: "use one Q/DQ pair for all readers")
  static let trtConcat = LintRule(
    "TRT108", .warning, "The inputs of a Concat share one scale.", fix: "use the largest scale for all of them")
  static let trtPad = LintRule(
    "TRT109", .warning, "Between Pad and a convolution there is no Q/DQ.", fix: "quantize before the Pad")
  static let trtUnsuited = LintRule(
    "TRT110", .warning, "Softmax, normalizations, Sigmoid, Tanh and the like are not between Q/DQ.",
    fix: "leave the operator float")

  static let tensorRT = [
    trtZeroPoint, trtConstant, trtType, trtImplicit, trtScale, trtScaleShape, trtChannels, trtBias, trtForm, trtOpset,
    trtInput, trtAxis, trtPair, trtRefit, trtPartial, trtInside, trtResidual, trtFanOut, trtConcat, trtPad, trtUnsuited,
  ]
}

/// What TensorRT's parser and builder accept, and what its fusions want.
struct TensorRTRules {
  let isDLA: Bool

  private static let types: Set<ElementType> = [.int8, .float8E4M3FN, .int4, .float4E2M1]
  private static let integerForms = OnnxRuntimeModel.integerOperators.union(["DynamicQuantizeLinear"])
  private static let weighted: Set<String> = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
  private static let unsuited: Set<String> = [
    "Softmax", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "Erf",
    "Sigmoid",
    "Tanh", "ReduceMean", "ArgMax", "TopK", "Where", "Gelu",
  ]
  private static let moving: Set<String> = [
    "MaxPool", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Flatten", "Split", "Pad",
  ]

  func run(_ context: LintContext, into report: inout LintReport) {
    func add(
      _ rule: LintRule, _ node: Node, _ tensor: Value?, _ message: String, isFixable: Bool = false,
      severity: LintRule.Severity? = nil
    ) {
      report.findings.append(
        LintFinding(
          rule: rule, severity: severity ?? rule.severity, node: node.label, tensor: tensor?.name, message: message,
          fix: rule.fix, isFixable: isFixable))
    }
    for node in context.graph.nodes {
      if let quantizer = context.quantizers[node] {
        legality(quantizer, context) { add($0, node, $1, $2, isFixable: $3) }
      } else {
        if Self.integerForms.contains(node.opType) {
          add(.trtForm, node, node.output(0), "\(node.label) is \(node.opType), which TensorRT does not import")
        }
        placement(node, context) { add($0, node, $1, $2) }
        report.nodes.append(prediction(node, context))
      }
    }
    fanOut(context) { add($0, $1, $2, $3) }
  }

  private func legality(
    _ quantizer: Quantizer, _ context: LintContext, _ add: (LintRule, Value?, String, Bool) -> Void
  ) {
    let node = quantizer.node
    let tensor = quantizer.isQuantize ? node.input(0) : node.output(0)
    let name = node.label
    if node.canonicalDomain == "com.microsoft" {
      add(.trtForm, tensor, "\(name) is of the domain com.microsoft", false)
    }
    let isBias = !quantizer.isQuantize && quantizer.type == .int32
    if isBias {
      let constant = node.input(0).map { context.constants.isConstant($0) } ?? false
      add(
        .trtBias, tensor, "\(name) dequantizes an int32 bias, which TensorRT refuses", constant && quantizer.isConstant)
    } else if !Self.types.contains(quantizer.type), !(isDLA && quantizer.type == .uint8) {
      let isCentered = quantizer.type == .uint8 && quantizer.hasZeroPoint(128)
      if !quantizer.hasZeroPoint {
        add(.trtImplicit, tensor, "\(name) has no zero point: uint8 in ONNX, int8 in TensorRT", false)
      } else {
        add(.trtType, tensor, "\(name) quantizes to \(quantizer.type.name)", isCentered)
      }
    }
    if quantizer.hasZeroPoint, quantizer.zeroPoints == nil {
      add(.trtConstant, tensor, "\(name) has a zero point that is computed when the model runs", false)
    } else if let points = quantizer.zeroPoints {
      if points.contains(where: { $0 != 0 }), !isDLA, !(quantizer.type == .uint8 && quantizer.hasZeroPoint(128)) {
        add(.trtZeroPoint, tensor, "\(name) has the zero point \(points.first { $0 != 0 } ?? 0)", false)
      }
      if let scales = quantizer.scales, points.count != scales.count {
        add(.trtConstant, tensor, "\(name) has \(points.count) zero points for \(scales.count) scales", false)
      }
    }
    if let scales = quantizer.scales {
      if let bad = scales.first(where: { !($0 > 0) || !$0.isFinite }) {
        add(.trtScale, tensor, "\(name) has the scale \(bad)", false)
      }
    } else {
      add(.trtScale, tensor, "\(name) has a scale that is no constant", false)
    }
    let opset = context.model.opset() ?? 0
    let isBlocked = (quantizer.scaleShape?.count ?? 0) > 1
    let needed =
      quantizer.type == .float4E2M1
      ? 23
      : isBlocked || quantizer.type == .int4
        ? 21
        : quantizer.type == .float8E4M3FN
          ? 19
          : quantizer.isScalar ? 10 : 13
    if node.isStandard, opset < needed {
      add(.trtOpset, tensor, "\(name) needs opset \(needed), the model has \(opset)", false)
    }
    if isBlocked, quantizer.type == .int8 { add(.trtScaleShape, tensor, "\(name) has int8 blocks", false) }
    if quantizer.isQuantize, let shape = node.input(0)?.type?.tensorType?.shape, shape.isEmpty {
      add(.trtInput, tensor, "\(name) quantizes a scalar without dimensions", false)
    }
    if let scales = quantizer.scales, scales.count > 1, !isBias, !isBlocked {
      if !context.isConstantOperand(node.input(0)) {
        add(.trtChannels, tensor, "\(name) has \(scales.count) scales for an activation", false)
      } else if !quantizer.isQuantize {
        for use in node.output(0)?.uses ?? [] {
          guard let wanted = channelAxis(use, context), let rank = context.constantShape(node.input(0))?.count else {
            continue
          }
          let axis = quantizer.axis < 0 ? quantizer.axis + rank : quantizer.axis
          if axis != wanted {
            add(
              .trtAxis, tensor, "\(use.node.label) wants scales along axis \(wanted), \(name) has axis \(axis)", false)
          }
        }
      }
    }
    if !quantizer.isQuantize, let before = context.quantize(node.input(0)?.producer), before.isConstant,
      quantizer.isConstant, !before.hasParameters(of: quantizer)
    {
      add(.trtPair, tensor, "\(before.node.label) and \(name) differ in their parameters", false)
    }
  }

  private func channelAxis(_ use: Value.Use, _ context: LintContext) -> Int? {
    guard use.node.isStandard, use.index == 1 else { return nil }
    switch use.node.opType {
    case "Conv": return 0
    case "ConvTranspose": return 1
    case "Gemm": return use.node.int("transB") ?? 0 == 0 ? 1 : 0
    case "MatMul": return (context.constantShape(use.node.input(1))?.count).map { $0 - 1 }
    default: return nil
    }
  }

  private func placement(_ node: Node, _ context: LintContext, _ add: (LintRule, Value?, String) -> Void) {
    guard node.isStandard else { return }
    let data = context.dequantize(before: node, 0)
    let second = context.dequantize(before: node, 1)
    if Self.weighted.contains(node.opType), (data == nil) != (second == nil), second?.blockSize ?? 0 == 0,
      !(data == nil && [.int4, .float4E2M1].contains(second?.type)), movedQuantizer(node.input(0), context) == nil
    {
      add(.trtPartial, node.input(data == nil ? 0 : 1), "\(node.label) has one quantized input: it runs in float")
    }
    // The accelerator wants a scale on every tensor that no activation absorbs.
    let fusing = isDLA ? ["Relu", "Clip"] : ["Relu", "Clip", "LeakyRelu"]
    if fusing.contains(node.opType), let data, let quantize = data.node.input(0)?.producer,
      let sum = quantize.input(0), let before = sum.producer, before.isStandard("Conv", "ConvTranspose", "Gemm"),
      sum.consumers.count == 1, data.node.output(0)?.consumers.count == 1
    {
      add(.trtInside, node.input(0), "Q/DQ between \(before.label) and \(node.label) keep the two from fusing")
    }
    if node.opType == "Add", !isDLA, let data, let second {
      let sources = [data, second].map { $0.node.input(0)?.producer?.input(0)?.producer }
      if sources.contains(where: { $0.map { $0.isStandard("Conv") } ?? false }) {
        add(
          .trtResidual, node.output(0),
          "both inputs of \(node.label) are quantized: the convolution does not fuse with it")
      }
    }
    if node.opType == "Concat" {
      let scales = node.inputs.indices.compactMap { context.dequantize(before: node, $0)?.scales?.first }
      if Set(scales).count > 1 {
        add(.trtConcat, node.output(0), "the inputs of \(node.label) have \(Set(scales).count) different scales")
      }
    }
    if node.isStandard("Conv"), !isDLA, let data, let pad = data.node.input(0)?.producer?.input(0)?.producer,
      pad.isStandard("Pad")
    {
      add(.trtPad, node.input(0), "Q/DQ between \(pad.label) and \(node.label)")
    }
    let isUnsuited =
      Self.unsuited.contains(node.opType) && !(isDLA && TargetPreset.tensorRTDLA.arithmetic.contains(node.opType))
    if isUnsuited, data != nil, !context.quantizes(node.output(0)).isEmpty {
      add(.trtUnsuited, node.output(0), "\(node.label) is between Q/DQ and has no int8 form worth having")
    }
  }

  private func fanOut(_ context: LintContext, _ add: (LintRule, Node, Value?, String) -> Void) {
    var seen = Set<Value>()
    for node in context.graph.nodes {
      guard let quantizer = context.quantize(node), let tensor = node.input(0), seen.insert(tensor).inserted else {
        continue
      }
      let others = context.quantizes(tensor).filter { $0.node !== node }
      if let other = others.first(where: { !$0.hasParameters(of: quantizer) }) {
        add(
          .trtFanOut, other.node, tensor,
          "\(tensor.name) is quantized by \(node.label) and otherwise by \(other.node.label)")
      }
    }
    let shared = context.graph.nodes.first { node in
      guard let quantizer = context.dequantize(node), !context.isConstantOperand(quantizer.node.output(0)) else {
        return false
      }
      return (node.output(0)?.consumers ?? []).count { Self.weighted.contains($0.opType) } > 1
    }
    if let shared, let tensor = shared.output(0) {
      add(
        .trtRefit, shared, tensor,
        "\(tensor.name) has several readers, perhaps others too: their equal scales are frozen")
    }
  }

  /// The DQ before a value, looked for through operators that commute with it.
  private func movedQuantizer(_ value: Value?, _ context: LintContext) -> Quantizer? {
    var value = value
    for _ in 0..<64 {
      guard let node = value?.producer else { return nil }
      if let quantizer = context.dequantize(node) { return quantizer }
      guard node.isStandard, Self.moving.contains(node.opType) else { return nil }
      value = node.input(0)
    }
    return nil
  }

  private func prediction(_ node: Node, _ context: LintContext) -> NodePrediction {
    func predicted(_ runsIn: String, _ reason: String) -> NodePrediction {
      NodePrediction(name: node.label, opType: node.opType, runsIn: runsIn, reason: reason)
    }
    guard node.isStandard else { return predicted("float", "a plugin") }
    if node.opType == "Constant" { return predicted("none", "a constant") }
    let data = movedQuantizer(node.input(0), context)
    if Self.weighted.contains(node.opType) {
      guard let weight = movedQuantizer(node.input(1), context) else {
        return predicted("float", "its weight is float")
      }
      guard let data else {
        let kind = Quantizer.arithmetic(weight.type)
        return kind == "int4"
          ? predicted("int4", "weights in int4, activations in float") : predicted("float", "its input is float")
      }
      return predicted(Quantizer.arithmetic(data.type), "input and weight come from DQ")
    }
    if Self.moving.contains(node.opType) {
      if let data { return predicted(Quantizer.arithmetic(data.type), "it commutes with the DQ before it") }
      if let after = context.quantizes(node.output(0)).first {
        return predicted(Quantizer.arithmetic(after.type), "it commutes with the Q behind it")
      }
      return predicted("float", "nothing beside it is quantized")
    }
    let inputs = node.inputs.indices.compactMap { context.dequantize(before: node, $0) }
    if node.opType == "Add", let first = inputs.first {
      return predicted(
        Quantizer.arithmetic(first.type), "it fuses with the convolution before it; its skip input is quantized")
    }
    if let first = inputs.first, !Self.unsuited.contains(node.opType), !context.quantizes(node.output(0)).isEmpty {
      return predicted(Quantizer.arithmetic(first.type), "integers in and out")
    }
    return predicted("float", "no int8 form here, or fused into what computes its input")
  }
}
