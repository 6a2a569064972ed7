import ONNXGraph
import ONNXTensor
import QuantCore

/// Makes what a graph computes in float32 half precision: constants are rounded, Cast stands where the two meet.
///
/// Inputs and outputs of the graph keep their type. Operators that have no form in half precision, graphs in nodes, and, for
/// float16, operators beside a tensor whose measured values come near the end of float16 stay float32; the journal says
/// which. bfloat16 reaches as far as float32.
package struct ReducePrecision: Pass {
  /// Half of the largest float16: data that was not measured may go further.
  static let largestMagnitude: Float = 32752

  let type: ElementType
  let statistics: ModelStatistics
  let names: [Value: String]

  package init(to type: ElementType, statistics: ModelStatistics, names: [Value: String]? = nil) {
    self.type = type
    self.statistics = statistics
    self.names = names ?? [:]
  }

  package func run(on model: Model) throws -> [JournalEntry] { try reduce(model).0 }

  /// Operators that read or write any type as they stand.
  private static let indifferent: Set<String> = [
    "QuantizeLinear", "DequantizeLinear", "Constant", "Cast", "Shape", "Size",
  ]

  /// Operators whose float operands and results are all of one type.
  private static let operators: Set<String> = [
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Relu",
    "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Selu", "Celu", "Softplus",
    "Softsign", "Erf", "Gelu", "Mish", "Swish", "Abs", "Neg", "Sqrt", "Exp", "Log", "Pow", "Reciprocal", "AveragePool",
    "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "Softmax", "LogSoftmax", "LayerNormalization",
    "InstanceNormalization", "BatchNormalization", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2",
    "Concat", "Split", "Slice", "Gather", "GatherElements", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten",
    "Pad", "Resize", "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Identity", "Dropout", "Where",
  ]

  /// The journal, and what statistics call the values that are new.
  func reduce(_ model: Model) throws -> ([JournalEntry], [Value: String]) {
    let graph = model.graph
    let constants = Constants(graph: graph)
    let types = FloatTypes(model)
    var patch = GraphPatch(model)
    var unique = NameAuthority(model: model)
    let captured = Set(graph.nodes.flatMap(\.capturedValues))
    var reduced = Set<Node>()
    for node in graph.nodes {
      let floats = (node.inputs + node.outputs).compactMap { $0 }.filter { types[$0] == .float32 }
      guard !floats.isEmpty, !Self.indifferent.contains(node.opType) else {
        continue
      }
      if let obstacle = obstacle(node, floats, constants, captured) {
        patch.note(entry(node, "stays float32: \(obstacle)"))
      } else {
        reduced.insert(node)
      }
    }
    guard !reduced.isEmpty else { return (patch.journal, [:]) }

    var aliases: [Value: String] = [:]
    var halves: [Value: Value] = [:]
    var singles: [Value: Value] = [:]
    var results: [Value] = []
    /// What a reduced node reads instead of a float32 value.
    func half(_ value: Value) -> Value {
      if let known = halves[value] { return known }
      if let producer = value.producer, reduced.contains(producer) { return value }
      let shape = value.type.flatMap { ValueType($0, elementType: type) }
      if let tensor = constants.tensor(value)?.single {
        let made = Value(unique.unique("\(value.name)_\(type.name)"), type: .tensor(type, tensor.shape))
        patch.append(.addInitializer(made, TensorLiteral(name: made.name, tensor.rounded(to: type))))
        halves[value] = made
        return made
      }
      let made = Value(unique.unique("\(value.name)_\(type.name)"), type: shape)
      aliases[made] = names[value] ?? value.name
      patch.append(cast(value, made, to: type, &unique, after: value.producer))
      halves[value] = made
      return made
    }
    for node in graph.nodes where reduced.contains(node) {
      patch.note(entry(node, "computes in \(type.name)"))
      let inputs = node.inputs.enumerated().map { index, value -> Value? in
        guard let value, types[value] == .float32, node.opType != "Resize" || index == 0 else { return value }
        return half(value)
      }
      patch.append(.setInputs(node, inputs))
      for (index, output) in node.outputs.enumerated() {
        guard let output, types[output] == .float32 else { continue }
        if graph.isOutput(output) {
          let made = Value(
            unique.unique("\(output.name)_\(type.name)"), type: output.type.flatMap { ValueType($0, elementType: type) }
          )
          aliases[made] = names[output] ?? output.name
          for use in output.uses where reduced.contains(use.node) { halves[output] = made }
          patch.append(.setOutput(node, index, made))
          patch.append(cast(made, output, to: .float32, &unique, after: node))
          halves[output] = made
          continue
        }
        results.append(output)
        for use in output.uses where !reduced.contains(use.node) && !use.node.isStandard("Shape", "Size", "Cast") {
          let single =
            singles[output]
            ?? {
              let made = Value(unique.unique("\(output.name)_float32"), type: output.type)
              patch.append(cast(output, made, to: .float32, &unique, after: node))
              singles[output] = made
              return made
            }()
          patch.append(.setInput(use.node, use.index, single))
        }
      }
    }
    let journal = try patch.apply()
    for value in results { value.type = value.type.flatMap { ValueType($0, elementType: type) } ?? value.type }
    for index in graph.valueInfos.indices where results.contains(where: { $0 === graph.valueInfos[index].value }) {
      graph.valueInfos[index].info.type = graph.valueInfos[index].value.type
    }
    try removeUnread(Array(halves.keys), of: model)
    return (journal, aliases)
  }

  private func entry(_ node: Node, _ action: String) -> JournalEntry {
    JournalEntry(
      rule: "F06", reason: "what stays float was asked for in \(type.name)", subject: .node(node.label), action: action)
  }

  private func cast(
    _ source: Value, _ result: Value, to type: ElementType, _ names: inout NameAuthority, after producer: Node?
  ) -> GraphPatch.Edit {
    .insert(
      NodeBlueprint(
        "Cast", name: names.unique("\(result.name)_Cast"), inputs: [source], outputs: [result],
        attributes: [Attribute("to", int: Int(type.rawValue))]), producer.map { .after($0) } ?? .front)
  }

  /// Why a node stays float32; nil where it need not.
  private func obstacle(
    _ node: Node, _ floats: [Value], _ constants: Constants, _ captured: Set<Value>
  ) -> String? {
    guard node.isStandard, Self.operators.contains(node.opType) else { return "\(node.opType) is left as it is" }
    if node.outputs.contains(where: { $0.map(captured.contains) ?? false }) {
      return "a graph in a node reads its result"
    }
    guard type == .float16 else { return nil }
    for value in floats {
      if let tensor = constants.tensor(value) {
        let largest = tensor.floats?.map(\.magnitude).max() ?? 0
        if largest > Self.largestMagnitude { return "the constant '\(value.name)' reaches \(largest)" }
      } else if let measured = statistics[names[value] ?? value.name], measured.finite > 0 {
        let largest = max(measured.minimum.magnitude, measured.maximum.magnitude)
        if largest > Self.largestMagnitude { return "'\(value.name)' reaches \(largest)" }
      } else {
        return "the statistics know nothing of '\(value.name)'"
      }
    }
    return nil
  }

  /// Constants that have a rounded copy and no reader any more.
  private func removeUnread(_ values: [Value], of model: Model) throws {
    let graph = model.graph
    let returned = Set(graph.allGraphs.flatMap { $0.outputs.map(\.value) })
    var patch = GraphPatch(model)
    for value in values.sorted(by: { $0.name < $1.name }) where value.uses.isEmpty && !returned.contains(value) {
      if graph.initializer(for: value) != nil {
        if graph.isInput(value) { patch.append(.removeGraphInput(value)) }
        patch.append(.removeInitializer(value))
      } else if let producer = value.producer, producer.isStandard("Constant") {
        patch.append(.remove(producer))
      }
    }
    try patch.apply()
  }
}
