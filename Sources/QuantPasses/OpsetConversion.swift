import ONNXGraph
import ONNXTensor

/// The conversion of one node to opset 13.
struct OpsetConversion {
  let node: Node
  let graph: Graph
  let from: Int
  let shape: (String) -> [Int]?
  var names: NameAuthority
  private(set) var edits: [GraphPatch.Edit] = []
  private(set) var entry: JournalEntry?

  init(node: Node, graph: Graph, from: Int, shape: @escaping (String) -> [Int]?, names: NameAuthority) {
    self.node = node
    self.graph = graph
    self.from = from
    self.shape = shape
    self.names = names
  }

  /// Operators that left the standard or whose old form has no equivalent.
  private static let removed: Set<String> = [
    "ATen", "Affine", "ConstantFill", "Crop", "DynamicSlice", "GRUUnit", "GivenTensorFill", "ImageScaler",
    "ParametricSoftplus", "Scale", "ScaledTanh",
  ]
  /// Operators whose broadcasting or modes were other ones before opset 7.
  private static let changedAtSeven: Set<String> = [
    "Add", "And", "AveragePool", "BatchNormalization", "Div", "Dropout", "Equal", "GRU", "Gemm", "Greater", "LSTM",
    "Less", "Mul", "Or", "PRelu", "Pow", "RNN", "Sub", "Upsample", "Xor",
  ]

  mutating func convert() throws {
    if from < 7, Self.changedAtSeven.contains(node.opType) {
      throw refusal("the form it had before opset 7 is not supported")
    }
    if Self.removed.contains(node.opType) { throw refusal("the operator was withdrawn from ONNX") }
    switch node.opType {
    case "BatchNormalization" where from < 9:
      if node.int("spatial") ?? 1 == 0 { throw refusal("statistics per element (spatial = 0) have no later form") }
      if node.attribute("spatial") != nil { change("attribute spatial dropped", dropping: ["spatial"]) }
    case "Upsample": try upsample()
    case "Resize" where from == 10:
      change(
        "scales moved behind roi", inputs: [node.input(0), nil, node.input(1)],
        adding: [
          Attribute("coordinate_transformation_mode", string: "asymmetric"), Attribute("nearest_mode", string: "floor"),
        ])
    case "Slice" where from < 10:
      guard let starts = node.ints("starts"), let ends = node.ints("ends") else {
        throw refusal("it has no starts or ends")
      }
      let axes = node.ints("axes") ?? Array(0..<starts.count)
      change(
        "starts, ends and axes became inputs",
        inputs: [node.input(0), integers(starts, "starts"), integers(ends, "ends"), integers(axes, "axes")],
        dropping: ["starts", "ends", "axes"])
    case "TopK" where from < 10:
      guard let k = node.int("k") else { throw refusal("it has no k") }
      change("k became an input", inputs: [node.input(0), integers([k], "k")], dropping: ["k"])
    case "Clip" where from < 11:
      guard node.input(0)?.type?.elementType ?? .float32 == .float32 else {
        throw refusal("bounds of another type than float32 are not supported")
      }
      // The defaults of the attributes are the ends of float32, which bound nothing.
      let low = node.float("min").map { scalar($0, "min") }
      let high = node.float("max").map { scalar($0, "max") }
      change(
        "bounds became inputs", inputs: trimmed([node.input(0), low, high]),
        dropping: ["min", "max", "consumed_inputs"])
    case "Pad" where from < 11:
      guard let pads = node.ints("pads") ?? node.ints("paddings") else { throw refusal("it has no pads") }
      let value = node.float("value").flatMap { $0 == 0 ? nil : $0 }.map { scalar($0, "value") }
      change(
        "pads became an input", inputs: trimmed([node.input(0), integers(pads, "pads"), value]),
        dropping: ["pads", "paddings", "value"])
    case "Dropout" where from < 12:
      let ratio = node.float("ratio").map { scalar($0, "ratio") }
      change("ratio became an input", inputs: trimmed([node.input(0), ratio]), dropping: ["ratio"])
    case "Scatter":
      change("renamed ScatterElements", opType: "ScatterElements")
    case "Scan" where from < 9: throw refusal("Scan before opset 9 has another form")
    case "Split":
      guard let split = node.ints("split") else { break }
      change("split became an input", inputs: [node.input(0), integers(split, "split")], dropping: ["split"])
    case "Squeeze", "Unsqueeze", "ReduceSum":
      guard let axes = node.ints("axes") else { break }
      change("axes became an input", inputs: [node.input(0), integers(axes, "axes")], dropping: ["axes"])
    case "Softmax", "LogSoftmax", "Hardmax": try softmax()
    default: break
    }
  }

  private mutating func upsample() throws {
    let scales: Value?
    if from >= 9 {
      scales = node.input(1)
    } else {
      guard let values = node.floats("scales") else { throw refusal("it has no scales") }
      scales = initializer(Tensor(values, shape: [values.count]), "scales")
    }
    change(
      "Upsample became Resize", opType: "Resize", inputs: [node.input(0), nil, scales], dropping: ["scales"],
      adding: [
        Attribute("coordinate_transformation_mode", string: "asymmetric"), Attribute("nearest_mode", string: "floor"),
      ])
  }

  /// Before opset 13 the tensor was seen as a matrix, split at `axis`; now it is one axis.
  private mutating func softmax() throws {
    let axis = node.int("axis") ?? 1
    guard let input = node.input(0), let output = node.output(0) else { return }
    let rank = input.type?.rank ?? output.type?.rank ?? shape(input.name)?.count ?? shape(output.name)?.count
    if axis == -1 { return }
    if let rank, axis == rank - 1 {
      change("the last axis, which was meant, is now named", adding: [Attribute("axis", int: -1)])
      return
    }
    let base = output.name
    func value(_ suffix: String) -> Value { Value(names.unique("\(base)_\(suffix)")) }
    let (extents, matrix, result) = (value("shape"), value("flattened"), value("flattened_result"))
    change(
      "wrapped in Flatten and Reshape: it ran over all axes from \(axis) on", inputs: [matrix],
      adding: [Attribute("axis", int: -1)])
    edits += [
      .insert(
        NodeBlueprint("Shape", name: names.unique("\(base)_Shape"), inputs: [input], outputs: [extents]), .before(node)),
      .insert(
        NodeBlueprint(
          "Flatten", name: names.unique("\(base)_Flatten"), inputs: [input], outputs: [matrix],
          attributes: [Attribute("axis", int: axis)]), .before(node)),
      .setOutput(node, 0, result),
      .insert(
        NodeBlueprint("Reshape", name: names.unique("\(base)_Reshape"), inputs: [result, extents], outputs: [output]),
        .after(node)),
    ]
  }

  // MARK: Building blocks

  private mutating func change(
    _ what: String, opType: String? = nil, inputs: [Value?]? = nil, dropping: Set<String> = [], adding: [Attribute] = []
  ) {
    if let opType { edits.append(.setOperator(node, opType: opType)) }
    if let inputs { edits.append(.setInputs(node, inputs)) }
    let added = Set(adding.map(\.name))
    let kept = node.attributes.filter { !dropping.contains($0.name) && !added.contains($0.name) }
    edits.append(.setAttributes(node, kept + adding))
    entry = JournalEntry(
      rule: "F04", reason: "\(node.opType) changed its form between opset \(from) and 13", subject: .node(node.label),
      action: what)
  }

  private func trimmed(_ values: [Value?]) -> [Value?] {
    var values = values
    while values.last == .some(nil) { values.removeLast() }
    return values
  }

  private mutating func integers(_ values: [Int], _ role: String) -> Value {
    initializer(Tensor(values.map(Int64.init), shape: [values.count]), role)
  }

  private mutating func scalar(_ value: Float, _ role: String) -> Value { initializer(Tensor(scalar: value), role) }

  private mutating func initializer(_ tensor: Tensor, _ role: String) -> Value {
    let name = names.unique("\(node.outputs.compactMap { $0?.name }.first ?? node.opType)_\(role)")
    let value = Value(name, type: .tensor(tensor.elementType, tensor.shape))
    edits.append(.addInitializer(value, TensorLiteral(name: name, tensor)))
    return value
  }

  private func refusal(_ why: String) -> PassError {
    PassError(
      .notConvertible, "node '\(node.label)' (\(node.opType)) cannot be raised from opset \(from) to 13: \(why)",
      advice: "export the model again with opset 13 or later")
  }
}

extension Node {
  func floats(_ name: String) -> [Float]? {
    if case .floats(let values) = attribute(name) { values } else { nil }
  }
}
