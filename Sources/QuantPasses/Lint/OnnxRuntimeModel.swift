import ONNXGraph
import ONNXTensor

/// What onnxruntime's CPU provider does with each node (1.32, extended graph optimization or more).
struct OnnxRuntimeModel {
  /// Operators that compute on integers as they are stored.
  static let integerOperators: Set<String> = [
    "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QLinearAdd", "QLinearMul", "QLinearSigmoid",
    "QLinearLeakyRelu", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearConcat", "QLinearSoftmax",
    "QLinearWhere", "QGemm", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM",
  ]

  var hasSignedKernels = false

  func run(_ context: LintContext, into report: inout LintReport) {
    let graph = EngineGraph(context)
    let opset = context.model.opset() ?? 1
    var rewriting = OnnxRuntimeRewriting(graph, opset: opset, hasSignedKernels: hasSignedKernels)
    rewriting.run()
    let selection = OnnxRuntimeSelection(graph: graph, opset: opset, hasSignedKernels: hasSignedKernels)
    var predictions: [Node: NodePrediction] = [:]
    for item in graph.items {
      guard let node = item.node, item.quantizer == nil else { continue }
      func predict(_ runsIn: String, _ reason: String) {
        predictions[node] = NodePrediction(name: node.label, opType: node.opType, runsIn: runsIn, reason: reason)
      }
      if let reason = rewriting.removed[node] {
        predict("none", reason)
      } else if Self.integerOperators.contains(node.opType) {
        predict("int8", "it computes on integers as stored")
      } else if let type = integerType(item) {
        predict(Quantizer.arithmetic(type), "its operand is stored as \(type.name)")
      } else if let verdict = selection.verdict(item) {
        predict("float", verdict.reason)
        if let finding = finding(item, node, verdict, context) { report.findings.append(finding) }
      } else {
        predict(kernelType(item), "DQ and Q around it fuse into an integer kernel")
      }
    }
    for node in context.graph.nodes where context.quantizers[node] == nil {
      if var prediction = predictions[node] {
        prediction.name = node.label
        report.nodes.append(prediction)
      } else {
        let part = rewriting.absorbed[node] ?? rewriting.biases[node]
        let whole = part.flatMap { rewriting.biases[$0] } ?? part
        let producer = whole.flatMap { predictions[$0]?.runsIn }
        report.nodes.append(
          NodePrediction(
            name: node.label, opType: node.opType, runsIn: producer ?? "none",
            reason: rewriting.removed[node] ?? "it is the bias of '\(whole?.label ?? "")'"))
      }
    }
  }

  private func kernelType(_ item: EngineGraph.Item) -> String {
    let type = item.inputs.lazy.compactMap { $0?.producer }.first { $0.dequantizes }?.quantizer?.type
    return Quantizer.arithmetic(type ?? .int8)
  }

  /// The 8- or 16-bit type of an item whose data input is stored so, without any Q/DQ around it.
  private func integerType(_ item: EngineGraph.Item) -> ElementType? {
    guard let node = item.node, node.isStandard,
      OnnxRuntimeSelection.movement.contains(node.opType) || ["Split", "Concat", "Identity"].contains(node.opType)
    else { return nil }
    var edge = item.input(0)
    for _ in 0..<64 {
      guard let current = edge else { return nil }
      if let type = current.value?.type?.elementType {
        return [.int8, .uint8, .int16, .uint16].contains(type) ? type : nil
      }
      guard let producer = current.producer else { return nil }
      if producer.quantizes { return producer.quantizer?.type }
      guard producer.quantizer == nil, OnnxRuntimeSelection.movement.contains(producer.opType) else { return nil }
      edge = producer.input(0)
    }
    return nil
  }

  /// Only where somebody meant the node to be quantized: something beside it is.
  private func finding(
    _ item: EngineGraph.Item, _ node: Node, _ verdict: (rule: LintRule, reason: String), _ context: LintContext
  ) -> LintFinding? {
    let reads = item.inputs.contains { $0?.producer?.dequantizes == true }
    let isWeighted = OnnxRuntimeSelection.weighted.contains(node.opType) || node.opType == "ConvTranspose"
    let feeds = item.outputs.contains { $0?.readers.contains { $0.item.quantizes } == true }
    guard reads, feeds || isWeighted || OnnxRuntimeSelection.all.contains(node.opType) else { return nil }
    // Nothing asks for integers where no Q follows: the node reads a DQ that stands there for another reader.
    let isMeant = feeds || isWeighted
    let severity: LintRule.Severity = verdict.rule == .ortOperator || !isMeant ? .info : verdict.rule.severity
    return LintFinding(
      rule: verdict.rule, severity: severity, node: node.label, tensor: node.output(0)?.name,
      message: "\(node.label) runs in float: \(verdict.reason)", fix: verdict.rule.fix)
  }
}
