import ONNXGraph
import ONNXTensor

/// The conversion of one node from opset 13 or later to a later one.
struct LaterOpsetConversion {
  let node: Node
  let from: Int
  let version: Int

  init(_ node: Node, from: Int, to version: Int) {
    self.node = node
    self.from = from
    self.version = version
  }

  private static let reductions: Set<String> = [
    "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceSumSquare",
  ]

  /// Throws where the node has no later form.
  func check() throws {
    switch node.opType {
    case "BatchNormalization" where from < 14 && version >= 14 && node.outputs.dropFirst().contains { $0 != nil }:
      throw refusal("its training outputs have no later form")
    case "GroupNormalization" where from < 21 && version >= 21:
      throw refusal("scale and bias per group have no later form")
    case "Range" where from < 27 && version >= 27:
      let type = node.output(0)?.type?.elementType ?? node.input(0)?.type?.elementType
      if type == .float16 || type == .bfloat16 {
        throw refusal("its half precision sums are made in float32 since opset 27")
      }
    default: break
    }
  }

  /// What changes about the node and how; nil where its form stays.
  func edits(_ names: inout NameAuthority) throws -> (JournalEntry, [GraphPatch.Edit])? {
    try check()
    guard let (action, edits) = conversion(&names) else { return nil }
    let entry = JournalEntry(
      rule: "F04", reason: "\(node.opType) changed its form between opset \(from) and \(version)",
      subject: .node(node.label), action: action)
    return (entry, edits)
  }

  private func conversion(_ names: inout NameAuthority) -> (String, [GraphPatch.Edit])? {
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
    case let type where Self.reductions.contains(type) && from < 18 && version >= 18:
      guard let axes = node.ints("axes") else { return nil }
      let (value, edit) = integers(axes.map(Int64.init), "axes")
      return ("axes became an input", [edit, .setInputs(node, [node.input(0), value]), attributes(without: "axes")])
    case "Split" where from < 18 && version >= 18:
      guard node.input(1) == nil else { return nil }
      return (
        "the number of outputs is named",
        [attributes(without: "num_outputs", adding: [Attribute("num_outputs", int: node.outputs.count)])]
      )
    case "RoiAlign" where from < 16 && version >= 16:
      guard node.attribute("coordinate_transformation_mode") == nil else { return nil }
      return (
        "the old mode is named",
        [attributes(without: "", adding: [Attribute("coordinate_transformation_mode", string: "output_half_pixel")])]
      )
    case "GridSample" where from < 20 && version >= 20:
      let mode = node.string("mode") ?? "bilinear"
      let renamed = ["bilinear": "linear", "bicubic": "cubic"][mode] ?? mode
      return ("mode renamed", [attributes(without: "mode", adding: [Attribute("mode", string: renamed)])])
    case "DFT" where from < 20 && version >= 20:
      let (value, edit) = integers([Int64(node.int("axis") ?? 1)], "axis", isScalar: true)
      return (
        "axis became an input",
        [edit, .setInputs(node, [node.input(0), node.input(1), value]), attributes(without: "axis")]
      )
    default: return nil
    }
  }

  private func refusal(_ why: String) -> PassError {
    PassError(
      .notConvertible,
      "node '\(node.label)' (\(node.opType)) cannot be raised from opset \(from) to \(version): \(why)",
      advice: "export the model again with opset \(version) or later")
  }
}
