import ONNXGraph
import ONNXTensor

/// Raises the opset of `ai.onnx` from 13 or later to what a form of DequantizeLinear needs: 19 for float16 scales, 21 for
/// blocks and 4-bit codes. Only nodes whose operator changed its form on the way are converted, each with an entry in the
/// journal; what has no later form is refused by name.
package struct RaiseOpsetFurther: Pass {
  let version: Int

  package init(to version: Int) { self.version = version }

  package func run(on model: Model) throws -> [JournalEntry] {
    let current = model.opset() ?? 1
    guard current < version else { return [] }
    precondition(current >= RaiseOpset.perAxis, "opset \(current) is raised to 13 first")
    var names = NameAuthority(model: model)
    var patches: [GraphPatch] = []
    for graph in model.graph.allGraphs.reversed() {
      var patch = GraphPatch(model, graph: graph)
      for node in graph.nodes where node.isStandard {
        guard let (action, edits) = try conversion(of: node, from: current, &names) else { continue }
        patch.add(
          JournalEntry(
            rule: "F04", reason: "\(node.opType) changed its form between opset \(current) and \(version)",
            subject: .node(node.label), action: action), edits)
      }
      if graph === model.graph {
        patch.add(
          JournalEntry(
            rule: "F04", reason: "this form of DequantizeLinear needs opset \(version)", subject: .model,
            action: "opset raised from \(current) to \(version)"), .setOpset(domain: "", version: version))
        // Opset 19 came with IR 9, opset 21 with IR 10.
        let interface = version < 21 ? 9 : 10
        if Int(model.irVersion ?? 3) < interface { patch.append(.setIRVersion(interface)) }
      }
      patches.append(patch)
    }
    var journal: [JournalEntry] = []
    for patch in patches { journal += try patch.apply() }
    return journal
  }

  private static let reductions: Set<String> = [
    "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceSumSquare",
  ]

  /// What changes about a node, in words and as edits; nil where its form stays.
  private func conversion(
    of node: Node, from current: Int, _ names: inout NameAuthority
  ) throws -> (String, [GraphPatch.Edit])? {
    func integers(_ values: [Int64], _ role: String, isScalar: Bool = false) -> (Value, GraphPatch.Edit) {
      let tensor = Tensor(values, shape: isScalar ? [] : [values.count])
      let name = names.unique("\(node.outputs.compactMap { $0?.name }.first ?? node.opType)_\(role)")
      let value = Value(name, type: .tensor(.int64, tensor.shape))
      return (value, .addInitializer(value, TensorLiteral(name: name, tensor)))
    }
    func attributes(without name: String, adding new: [Attribute] = []) -> GraphPatch.Edit {
      .setAttributes(node, node.attributes.filter { $0.name != name } + new)
    }
    switch node.opType {
    case let type where Self.reductions.contains(type) && current < 18:
      guard let axes = node.ints("axes") else { return nil }
      let (value, edit) = integers(axes.map(Int64.init), "axes")
      return ("axes became an input", [edit, .setInputs(node, [node.input(0), value]), attributes(without: "axes")])
    case "Split" where current < 18 && version >= 18:
      guard node.input(1) == nil else { return nil }
      return (
        "the number of outputs is named",
        [attributes(without: "num_outputs", adding: [Attribute("num_outputs", int: node.outputs.count)])]
      )
    case "RoiAlign" where current < 16:
      guard node.attribute("coordinate_transformation_mode") == nil else { return nil }
      return (
        "the old mode is named",
        [attributes(without: "", adding: [Attribute("coordinate_transformation_mode", string: "output_half_pixel")])]
      )
    case "GridSample" where current < 20 && version >= 20:
      let mode = node.string("mode") ?? "bilinear"
      let renamed = ["bilinear": "linear", "bicubic": "cubic"][mode] ?? mode
      return ("mode renamed", [attributes(without: "mode", adding: [Attribute("mode", string: renamed)])])
    case "DFT" where current < 20 && version >= 20:
      let (value, edit) = integers([Int64(node.int("axis") ?? 1)], "axis", isScalar: true)
      return (
        "axis became an input",
        [edit, .setInputs(node, [node.input(0), node.input(1), value]), attributes(without: "axis")]
      )
    case "BatchNormalization" where current < 14 && node.outputs.dropFirst().contains { $0 != nil }:
      throw refusal(node, current, "its training outputs have no later form")
    case "GroupNormalization" where current < 21 && version >= 21:
      throw refusal(node, current, "scale and bias per group have no later form")
    default: return nil
    }
  }

  private func refusal(_ node: Node, _ current: Int, _ why: String) -> PassError {
    PassError(
      .notConvertible,
      "node '\(node.label)' (\(node.opType)) cannot be raised from opset \(current) to \(version): \(why)",
      advice: "export the model again with opset \(version) or later")
  }
}
