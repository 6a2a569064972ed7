import ONNXGraph
import ONNXTensor

/// Brings a model at opset 28 to 27 for engines that read no later one, where none of its nodes uses what came with 28.
///
/// Nothing of the nodes is changed. A node that needs opset 28 is refused by name with the reason.
package struct LowerOpset: Pass {
  /// The only step that is known: from this version to the one before.
  package static let from = 28
  let version: Int
  let reason: String

  package init(to version: Int, reason: String) {
    self.version = version
    self.reason = reason
  }

  package func run(on model: Model) throws -> [JournalEntry] {
    let current = model.opset() ?? 1
    guard current > version else { return [] }
    guard current == Self.from, version == Self.from - 1 else {
      throw PassError(
        .notConvertible, "the model is at opset \(current), and \(reason)",
        advice: "export it with opset \(version); onnxq lowers models from opset \(Self.from) to \(Self.from - 1) only")
    }
    for graph in model.graph.allGraphs + model.functions.flatMap({ $0.body.allGraphs }) {
      for node in graph.nodes where node.isStandard {
        guard let obstacle = Self.obstacle(node) else { continue }
        throw PassError(
          .notConvertible,
          "the model is at opset \(current), and \(reason): node '\(node.label)' (\(node.opType)) cannot be lowered: \(obstacle)",
          advice: "export the model with opset \(version)")
      }
    }
    var patch = GraphPatch(model)
    patch.add(
      JournalEntry(
        rule: "F04", reason: "\(reason); no node uses what is new since", subject: .model,
        action: "opset lowered from \(current) to \(version)"), .setOpset(domain: "", version: version))
    let interface = RaiseOpset.interface(of: version)
    if Int(model.irVersion ?? 0) == RaiseOpset.interface(of: current) { patch.append(.setIRVersion(interface)) }
    let journal = try patch.apply()
    for function in model.functions where function.opset("") == current {
      for index in function.opsetImports.indices
      where ["", "ai.onnx"].contains(function.opsetImports[index].domain ?? "") {
        function.opsetImports[index].version = Int64(version)
      }
    }
    return journal
  }

  /// The element types that an operator took on with opset 28.
  private static let newTypes: [String: Set<ElementType>] = [
    "Cast": [.float6E2M3, .float6E3M2], "DequantizeLinear": [.float6E2M3, .float6E3M2],
    "QuantizeLinear": [.float6E2M3, .float6E3M2],
    "BitShift": [.int8, .int16, .int32, .int64], "Celu": [.float16, .bfloat16, .float64], "Compress": [.bfloat16],
    "Einsum": [.bfloat16], "OneHot": [.bfloat16], "ReverseSequence": [.bfloat16], "Unique": [.bfloat16],
  ]
  private static let optional: Set<String> = ["Optional", "OptionalGetElement", "OptionalHasElement"]

  /// What of a node came with opset 28; nil where it means the same at 27.
  private static func obstacle(_ node: Node) -> String? {
    func known(_ types: Set<ElementType>) -> ElementType? {
      (node.inputs + node.outputs).compactMap { $0?.type?.elementType }.first { types.contains($0) }
    }
    switch node.opType {
    case "Cast" where node.int("to").map { $0 >= Int(ElementType.float6E2M3.rawValue) } ?? false:
      return "6-bit floats are new in opset 28"
    case "SwiGLU": return "the operator is new in opset 28"
    case "SpaceToDepth":
      let mode = node.string("mode") ?? "DCR"
      return mode == "DCR" ? nil : "mode \(mode) is new in opset 28"
    case "Mod":
      guard node.int("fmod") ?? 0 == 0, let type = known([.float16, .bfloat16, .float32, .float64]) else { return nil }
      return "a modulo of \(type.name) is new in opset 28"
    case let type where optional.contains(type):
      return known([.bfloat16]).map { "\($0.name) in an optional is new in opset 28" }
    default:
      guard let types = newTypes[node.opType], let type = known(types) else { return nil }
      return "\(type.name) is new for it in opset 28"
    }
  }
}
