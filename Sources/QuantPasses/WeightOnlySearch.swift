import ONNXGraph
import ONNXTensor

/// Finds the weights to store in integers, in all graphs of a model.
struct WeightSearch {
  struct Weight {
    /// Index of the graph that holds the constant.
    let graph: Int
    let value: Value
    let literal: TensorLiteral
    /// The axis of the stored tensor that products are summed over; for tables the last.
    let axis: Int
    let isTable: Bool
    /// Operands to rewire: of the operator, or of the Transpose before it.
    var readers: [Edge]
    /// The same constant is stored along another axis too.
    var isRepeated = false
  }

  let graphs: [Graph]
  private(set) var weights: [Weight] = []
  private(set) var outcomes: [NodeOutcome] = []
  private(set) var floats: [WeightDecision] = []
  private let options: WeightOnlyOptions

  private struct Key: Hashable {
    let value: Value
    let axis: Int
  }

  private var known: [Key: Int] = [:]

  init(_ model: Model, options: WeightOnlyOptions) throws {
    self.options = options
    graphs = model.graph.allGraphs
    let included = try Selector.resolve(options.include, in: model.graph)
    let excluded = try Selector.resolve(options.exclude, in: model.graph)
    for graph in graphs {
      for node in graph.nodes {
        guard let operand = operand(node) else { continue }
        let source = source(node, operand)
        let isSelected =
          options.include.isEmpty || included.nodes.contains(node)
          || (node.inputs + node.outputs + [source?.value]).contains { $0.map(included.tensors.contains) ?? false }
        let isExcluded =
          excluded.nodes.contains(node) || node.inputs.contains { $0.map(excluded.tensors.contains) ?? false }
          || source.map { excluded.tensors.contains($0.value) } ?? false
        if !isSelected || isExcluded {
          leave(node, .selected)
        } else if let source {
          add(node, source)
        } else if node.input(operand)?.producer.map({ Self.isStored($0) }) ?? false {
          outcomes.append(outcome(node, true, .storedAlready))
        } else {
          leave(node, .storedFloat)
        }
      }
    }
    var counts: [Value: Int] = [:]
    for weight in weights { counts[weight.value, default: 0] += 1 }
    for index in weights.indices { weights[index].isRepeated = (counts[weights[index].value] ?? 0) > 1 }
  }

  private mutating func add(_ node: Node, _ source: Source) {
    let key = Key(value: source.value, axis: source.axis)
    if let index = known[key] {
      if !weights[index].readers.contains(source.reader) { weights[index].readers.append(source.reader) }
    } else {
      known[key] = weights.count
      weights.append(
        Weight(
          graph: source.graph, value: source.value, literal: source.literal, axis: source.axis,
          isTable: node.opType == "Gather", readers: [source.reader]))
    }
    outcomes.append(outcome(node, true, node.opType == "Gather" ? .storedTable : .storedWeight))
  }

  private mutating func leave(_ node: Node, _ rule: PlacementRule) { outcomes.append(outcome(node, false, rule)) }

  private func outcome(_ node: Node, _ isQuantized: Bool, _ rule: PlacementRule) -> NodeOutcome {
    NodeOutcome(
      node: node.label, opType: node.opType, isQuantized: isQuantized, rule: rule, reason: rule.sentence, macs: 0)
  }

  // MARK: Forms

  /// The operand that is the weight, where the operator can have one.
  private func operand(_ node: Node) -> Int? {
    guard node.isStandard else { return nil }
    switch node.opType {
    case "Gemm": return 1
    case "MatMul": return constant(node.input(1)) == nil && constant(node.input(0)) != nil ? 0 : 1
    case "Gather": return options.includesEmbeddings && isTable(node.input(0)) ? 0 : nil
    default: return nil
    }
  }

  private func isTable(_ value: Value?) -> Bool {
    guard let found = constant(value) else { return value?.producer.map { Self.isStored($0) } ?? false }
    return found.literal.dims.count == 2 && Self.isQuantizable(found.literal)
  }

  private struct Source {
    let graph: Int
    let value: Value
    let literal: TensorLiteral
    let axis: Int
    let reader: Edge
  }

  private func source(_ node: Node, _ operand: Int) -> Source? {
    guard let value = node.input(operand) else { return nil }
    if let found = constant(value) {
      guard Self.isQuantizable(found.literal) else { return nil }
      let axis = summedAxis(node, operand, rank: found.literal.dims.count)
      return Source(
        graph: found.graph, value: value, literal: found.literal, axis: axis,
        reader: Edge(node: node, index: operand))
    }
    guard let transpose = value.producer, transpose.isStandard("Transpose"), let stored = transpose.input(0),
      let found = constant(stored), found.literal.dims.count == 2, Self.isQuantizable(found.literal),
      transpose.ints("perm") ?? [1, 0] == [1, 0], value.uses.allSatisfy({ $0.node === node && $0.index == operand })
    else { return nil }
    let axis = 1 - summedAxis(node, operand, rank: 2)
    return Source(
      graph: found.graph, value: stored, literal: found.literal, axis: axis, reader: Edge(node: transpose, index: 0))
  }

  /// The axis of the operand that the operator sums over; the last of a table.
  private func summedAxis(_ node: Node, _ operand: Int, rank: Int) -> Int {
    switch node.opType {
    case "Gemm": node.int("transB") ?? 0 == 0 ? 0 : 1
    case "MatMul": operand == 0 ? rank - 1 : rank - 2
    default: rank - 1
    }
  }

  private func constant(_ value: Value?) -> (graph: Int, literal: TensorLiteral)? {
    guard let value else { return nil }
    for (index, graph) in graphs.enumerated() {
      if let literal = graph.initializer(for: value) { return (index, literal) }
    }
    guard let node = value.producer, node.isStandard("Constant"), case .tensor(let literal) = node.attribute("value"),
      let index = graphs.firstIndex(where: { $0.nodes.contains(node) })
    else { return nil }
    return (index, literal)
  }

  private static func isQuantizable(_ literal: TensorLiteral) -> Bool {
    guard let type = literal.elementType, [.float32, .float16, .bfloat16].contains(type), literal.dims.count >= 2
    else { return false }
    return (literal.elementCount ?? 0) > 0
  }

  /// A DequantizeLinear of a constant, or a Transpose of one.
  private static func isStored(_ node: Node) -> Bool {
    if node.isStandard("Transpose") { return node.input(0)?.producer.map { isStored($0) } ?? false }
    return node.isStandard("DequantizeLinear")
  }
}
