import ONNXGraph

/// Judges a model by one target's rules; changes nothing.
package struct Linter {
  package static let targets = [
    "tensorrt", "tensorrt-dla", "onnxruntime", "onnxruntime-avx2", "onnxruntime-arm64", "openvino", "qnn", "integer",
  ]

  let target: String

  package init(target: String) throws {
    guard Self.targets.contains(target) else {
      throw PassError(
        .badOption, "there is no target '\(target)'", advice: "use one of \(Self.targets.joined(separator: ", "))")
    }
    self.target = target
  }

  /// The nodes of the main graph come first, those of nested graphs after them.
  package func run(on model: Model) -> LintReport {
    var report = LintReport(target: target)
    for (graph, outer, _) in model.graph.enclosedGraphs() {
      let context = LintContext(model, graph, outer: outer)
      HygieneRules().run(context, into: &report)
      switch target {
      case "tensorrt", "tensorrt-dla": TensorRTRules(isDLA: target == "tensorrt-dla").run(context, into: &report)
      case "openvino": RegionRules.openVINO.run(context, into: &report)
      case "qnn": RegionRules.qnn.run(context, into: &report)
      case "integer": RegionRules.integer.run(context, into: &report)
      default:
        OnnxRuntimeModel(hasSignedKernels: target == "onnxruntime-arm64").run(context, into: &report)
        if target == "onnxruntime-avx2" { SaturationRule().run(context, into: &report) }
      }
    }
    if target.hasPrefix("onnxruntime"), let opset = model.opset(), opset > 27, !report.nodes.isEmpty,
      model.graph.nodes.contains(where: { LintContext.isQuantizer($0) })
    {
      report.findings.append(
        LintFinding(
          rule: .ortOpset, severity: .error, node: nil, tensor: nil,
          message: "the model is at opset \(opset), for which onnxruntime 1.32 has no Q/DQ kernels",
          fix: LintRule.ortOpset.fix))
    }
    report.findings.sort { $0.severity > $1.severity }
    return report
  }
}
