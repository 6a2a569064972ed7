import ONNXGraph
import ONNXTensor

/// Which nodes of the rewritten graph onnxruntime gives to integer kernels, by its selection rules.
struct OnnxRuntimeSelection {
  let graph: EngineGraph
  let opset: Int
  let hasSignedKernels: Bool

  /// nil: an integer kernel; else the rule that is not met, and what is wrong.
  typealias Verdict = (rule: LintRule, reason: String)?

  static let weighted: Set<String> = ["Conv", "Gemm", "MatMul"]
  static let unary: Set<String> = ["AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax"]
  static let binary: Set<String> = ["Add", "Mul"]
  static let movement: Set<String> = [
    "Expand", "Flatten", "Gather", "GatherElements", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    "Resize", "MaxPool", "ReduceMax", "ReduceMin",
  ]
  static let all = weighted.union(unary).union(binary).union(movement).union(["Concat", "Where", "Split", "ArgMax"])

  private static let halfUnsigned =
    "onnxruntime makes int8 tensors with one reader uint8 on x64; the constants and those with more readers stay int8"

  private func dequantizers(_ item: EngineGraph.Item) -> [(index: Int, quantizer: Quantizer)] {
    item.inputs.enumerated().compactMap { index, edge in
      guard let producer = edge?.producer, producer.dequantizes, let quantizer = producer.quantizer else { return nil }
      return (index, quantizer)
    }
  }

  private struct Outputs {
    var quantizers: [Quantizer]
    var isEmpty: Bool { quantizers.isEmpty }
  }

  /// The Q nodes behind an item, through a Relu or Clip that they make superfluous.
  private func quantizers(after item: EngineGraph.Item) -> (Outputs?, Verdict) {
    var last = item
    let readers = item.outputs.flatMap { $0?.readers ?? [] }
    if readers.count == 1, let activation = readers.first?.item, let node = activation.node,
      node.isStandard("Relu", "Clip"), let output = activation.outputs.first ?? nil, output.readers.count == 1,
      !output.isOutput
    {
      guard let quantizer = output.readers[0].item.quantizes ? output.readers[0].item.quantizer : nil else {
        return (nil, (.ortOutput, "its \(node.opType) '\(node.label)' has no Q behind it"))
      }
      // In the words of the model, which may say int8 where the engine has made it uint8.
      let written = output.readers[0].item.node.flatMap { graph.context.quantizers[$0] } ?? quantizer
      if let reason = OnnxRuntimeRewriting.isRedundant(node, before: written, graph.context.constants) {
        return (nil, (.ortActivation, "its \(node.opType) '\(node.label)' is not absorbed because \(reason)"))
      }
      last = activation
    }
    let present = last.outputs.compactMap { $0 }
    let all = present.flatMap(\.readers)
    let found = all.compactMap { $0.item.quantizes ? $0.item.quantizer : nil }
    if found.isEmpty { return (Outputs(quantizers: []), nil) }
    if let output = present.first(where: \.isOutput) {
      return (nil, (.ortOutput, "its output '\(output.value?.name ?? "")' is an output of the graph in float, too"))
    }
    if found.count != present.count || found.count != all.count {
      let other = all.first { !$0.item.quantizes }?.item.node?.label
      return (
        nil,
        (.ortOutput, other.map { "its output is read in float, too, by '\($0)'" } ?? "not each output has one Q")
      )
    }
    return (Outputs(quantizers: found), nil)
  }

  func verdict(_ item: EngineGraph.Item) -> Verdict {
    guard let node = item.node, node.isStandard else { return (.ortOperator, "it has no integer kernel") }
    guard Self.all.contains(node.opType) else {
      return (.ortOperator, "onnxruntime has no integer kernel for \(node.opType)")
    }
    if node.opType == "MaxPool", opset < 12 { return (.ortOperator, "MaxPool moves to int8 from opset 12 on only") }
    let inputs = dequantizers(item)
    let (outputs, trouble) = quantizers(after: item)
    if Self.weighted.contains(node.opType) { return weightedVerdict(item, node, inputs, outputs, trouble) }
    if inputs.isEmpty { return (.ortInput, "no input comes from a DequantizeLinear") }
    let wanted: Int
    switch node.opType {
    case "Add", "Mul", "Concat": wanted = item.inputs.count { $0 != nil }
    case "Where": wanted = 2
    default: wanted = 1
    }
    if let missing = missingInput(item, inputs, wanted) { return missing }
    if node.opType == "ArgMax" {
      return Self.is8Bit(inputs[0].quantizer.type) ? nil : (.ortWidth, "its input is \(inputs[0].quantizer.type.name)")
    }
    if let trouble { return trouble }
    guard let outputs, let first = outputs.quantizers.first else { return (.ortOutput, "its output has no Q") }
    let type = inputs[0].quantizer.type
    for (index, quantizer) in inputs where quantizer.type != type {
      if Self.is8Bit(type), Self.is8Bit(quantizer.type), !hasSignedKernels { return (.ortSigned, Self.halfUnsigned) }
      return (.ortType, "input \(index) is \(quantizer.type.name), input \(inputs[0].index) \(type.name)")
    }
    for quantizer in outputs.quantizers where quantizer.type != type {
      if Self.is8Bit(type), Self.is8Bit(quantizer.type), !hasSignedKernels { return (.ortSigned, Self.halfUnsigned) }
      return (.ortType, "the output is \(quantizer.type.name), the input \(type.name)")
    }
    let moves = Self.movement.contains(node.opType) || node.opType == "Split"
    let takesSixteen = moves && !["Resize", "MaxPool", "ReduceMax", "ReduceMin"].contains(node.opType)
    guard Self.is8Bit(type) || (takesSixteen && [.int16, .uint16].contains(type)) else {
      return (.ortWidth, "there is no kernel for \(type.name)")
    }
    if moves {
      for quantizer in outputs.quantizers {
        if let reason = unequal(inputs[0].quantizer, quantizer) { return (.ortParameters, reason) }
      }
      if ["MaxPool", "ReduceMax", "ReduceMin"].contains(node.opType), !(first.scales?.first ?? 0 > 0) {
        return (.ortParameters, "its scale is not positive")
      }
    }
    return nil
  }

  private func missingInput(
    _ item: EngineGraph.Item, _ inputs: [(index: Int, quantizer: Quantizer)], _ wanted: Int
  ) -> Verdict {
    guard inputs.count != wanted else { return nil }
    let have = Set(inputs.map(\.index))
    let index = item.inputs.indices.first { item.inputs[$0] != nil && !have.contains($0) }
    guard inputs.count < wanted, let index else { return (.ortInput, "\(inputs.count) of its inputs come from DQ") }
    let name = item.inputs[index]?.value?.name ?? ""
    return (.ortInput, "input \(index) '\(name)' is float")
  }

  private func weightedVerdict(
    _ item: EngineGraph.Item, _ node: Node, _ inputs: [(index: Int, quantizer: Quantizer)], _ outputs: Outputs?,
    _ trouble: Verdict
  ) -> Verdict {
    let kind = item.becomesGemm ? "Gemm" : node.opType
    let activation = inputs.first { $0.index == 0 }?.quantizer
    let weight = inputs.first { $0.index == 1 }?.quantizer
    guard let activation else {
      if node.opType == "MatMul", let weight, weight.blockSize > 0 || weight.scaleShape?.count == 2 {
        return (.ortInput, "it runs on float activations and stored integers")
      }
      return (.ortInput, "input 0 '\(item.input(0)?.value?.name ?? "")' is float")
    }
    guard weight != nil || item.quantizesOperands else {
      return (.ortInput, "its weight '\(item.input(1)?.value?.name ?? "")' is float")
    }
    if item.input(2) != nil, !inputs.contains(where: { $0.index == 2 }), !item.quantizesOperands {
      return (.ortBias, "its bias '\(item.input(2)?.value?.name ?? "")' is float and not quantized at load")
    }
    if let trouble { return trouble }
    let output = outputs?.quantizers.first
    if kind == "Conv", output == nil { return (.ortOutput, "its output has no Q") }
    if let output, output.type != activation.type {
      if Self.is8Bit(output.type), Self.is8Bit(activation.type), !hasSignedKernels {
        return (.ortSigned, Self.halfUnsigned)
      }
      return (.ortType, "the output is \(output.type.name), the input \(activation.type.name)")
    }
    if activation.type == .int8, kind != "Gemm", !hasSignedKernels {
      return (
        .ortSigned, "its input stays int8, because it has other readers or no Q, and x64 has kernels for uint8 only"
      )
    }
    let weightType = weight?.type ?? .int8
    guard Self.is8Bit(activation.type), Self.is8Bit(weightType) else {
      return (.ortWidth, "\(activation.type.name) by \(weightType.name) has no kernel")
    }
    if activation.type == .int8, weightType != .int8 {
      return (.ortType, "int8 activations need int8 weights, not \(weightType.name)")
    }
    if kind != "MatMul", let bias = inputs.first(where: { $0.index == 2 })?.quantizer, bias.type != .int32 {
      return (.ortBias, "its bias is \(bias.type.name), not int32")
    }
    if node.opType == "Gemm", item.input(2) != nil, node.float("beta") ?? 1 != 1 {
      return (.ortParameters, "beta is not 1")
    }
    if kind == "MatMul", let weight, !weight.isScalar {
      let rank = graph.context.constantShape(weight.node.input(0))?.count ?? 2
      let axis = weight.axis < 0 ? weight.axis + rank : weight.axis
      if axis != rank - 1 { return (.ortAxis, "its weight has one scale per axis \(axis), not per column") }
    }
    return nil
  }

  private func unequal(_ input: Quantizer, _ output: Quantizer) -> String? {
    guard input.isScalar, output.isScalar, input.isConstant, output.isConstant else {
      return "scale and zero point of input and output are no constant scalars"
    }
    guard input.hasZeroPoint, output.hasZeroPoint else { return "a Q or DQ beside it has no zero point" }
    if input.scales != output.scales || input.zeroPoints != output.zeroPoints {
      return "input (\(Self.text(input))) and output (\(Self.text(output))) have different parameters"
    }
    return nil
  }

  static func text(_ quantizer: Quantizer) -> String {
    "scale \(quantizer.scales?.first ?? 0), zero point \(quantizer.zeroPoints?.first ?? 0)"
  }

  static func is8Bit(_ type: ElementType) -> Bool { type == .int8 || type == .uint8 }
}
