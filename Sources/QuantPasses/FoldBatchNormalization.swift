import ONNXGraph
import ONNXTensor

/// Folds BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it.
///
/// y = γ(Wx + b − μ)/√(σ² + ε) + β becomes W'x + b' with W' = sW, b' = s(b − μ) + β, s = γ/√(σ² + ε), all in float64 and
/// rounded once. After MatMul the node becomes an Add of b'. Left alone where the result of the weighted operator is read
/// elsewhere too, where weights or statistics are not constants, and in training mode.
package struct FoldBatchNormalization: Pass {
  package init() {}

  package func run(on model: Model) throws -> [JournalEntry] {
    var journal: [JournalEntry] = []
    // A round folds at most one normalization into an operator; a chain of them takes as many rounds.
    while true {
      let entries = try round(model)
      if entries.isEmpty { return journal }
      journal += entries
    }
  }

  private func round(_ model: Model) throws -> [JournalEntry] {
    var names = NameAuthority(model: model)
    var journal: [JournalEntry] = []
    for graph in model.graph.allGraphs {
      let constants = Constants(graph: graph)
      let members = Set(graph.nodes)
      var patch = GraphPatch(model, graph: graph)
      var used = Set<Node>()
      for node in graph.nodes where node.isStandard("BatchNormalization") {
        guard let fold = Fold(node, graph: graph, constants: constants), members.contains(fold.weighted),
          used.insert(fold.weighted).inserted
        else { continue }
        fold.add(to: &patch, names: &names)
      }
      journal += try patch.apply()
    }
    return journal
  }
}

/// One normalization that can be folded.
private struct Fold {
  let node: Node
  let weighted: Node
  let graph: Graph
  let weight: Tensor
  /// What the weight is stored in; the folded constants are too.
  let type: ElementType
  let bias: [Float]?
  let scales: [Double]
  let shifts: [Double]
  /// Per element of the weight, the output channel it belongs to.
  let channel: (Int) -> Int

  init?(_ node: Node, graph: Graph, constants: Constants) {
    guard node.outputs.count <= 1 || node.outputs.dropFirst().allSatisfy({ $0?.uses.isEmpty ?? true }),
      node.int("training_mode") ?? 0 == 0, node.int("spatial") ?? 1 != 0,
      let input = node.input(0), let weighted = input.producer, weighted.isStandard,
      input.uses.count == 1, !graph.isOutput(input), node.output(0) != nil,
      let weightValue = weighted.input(1), let stored = constants.tensor(weightValue), let weight = stored.single,
      let gamma = constants.floats(node.input(1)), let beta = constants.floats(node.input(2)),
      let mean = constants.floats(node.input(3)), let variance = constants.floats(node.input(4)),
      constants.elementType(node.input(1) ?? weightValue) == stored.elementType, beta.count == gamma.count,
      mean.count == gamma.count, variance.count == gamma.count
    else { return nil }
    let epsilon = Double(node.float("epsilon") ?? 1e-5)
    let scales = zip(gamma, variance).map { Double($0) / (Double($1) + epsilon).squareRoot() }
    guard scales.allSatisfy(\.isFinite) else { return nil }
    let shape = weight.shape
    let channels: Int
    switch weighted.opType {
    case "Conv":
      guard shape.count >= 3, shape[0] > 0 else { return nil }
      channels = shape[0]
      let block = weight.count / shape[0]
      channel = { $0 / max(block, 1) }
    case "ConvTranspose":
      let groups = weighted.int("group") ?? 1
      guard shape.count >= 3, groups > 0, shape[0] > 0, shape[0] % groups == 0 else { return nil }
      channels = shape[1] * groups
      let spatial = shape.dropFirst(2).reduce(1, *)
      let (perGroup, inputs) = (shape[1], shape[0] / groups)
      channel = { index in
        let row = index / max(spatial, 1)
        return row / max(perGroup, 1) / max(inputs, 1) * perGroup + row % max(perGroup, 1)
      }
    case "Gemm":
      guard shape.count == 2 else { return nil }
      let isTransposed = weighted.int("transB") ?? 0 != 0
      channels = shape[isTransposed ? 0 : 1]
      let columns = shape[1]
      channel = isTransposed ? { $0 / max(columns, 1) } : { $0 % max(columns, 1) }
    case "MatMul":
      // The channel of BatchNormalization is axis 1: the columns of the product only where it is a matrix.
      guard shape.count == 2, input.type?.rank ?? node.output(0)?.type?.rank == 2 else { return nil }
      channels = shape[1]
      let columns = shape[1]
      channel = { $0 % max(columns, 1) }
    default: return nil
    }
    guard channels == gamma.count else { return nil }
    var bias: [Float]?
    if weighted.opType != "MatMul", let value = weighted.input(2) {
      guard let stored = constants.floats(value),
        stored.count == channels || (weighted.opType == "Gemm" && stored.count == 1)
      else { return nil }
      bias = stored.count == channels ? stored : [Float](repeating: stored[0], count: channels)
    }
    let factor = weighted.opType == "Gemm" ? Double(weighted.float("beta") ?? 1) : 1
    self.node = node
    self.weighted = weighted
    self.graph = graph
    self.weight = weight
    type = stored.elementType
    self.bias = bias
    self.scales = scales
    shifts = (0..<channels).map { index in
      scales[index] * (factor * Double(bias?[index] ?? 0) - Double(mean[index])) + Double(beta[index])
    }
    guard shifts.allSatisfy(\.isFinite) else { return nil }
    if type == .float16, shifts.contains(where: { abs($0) > 65504 }) { return nil }
  }

  func add(to patch: inout GraphPatch, names: inout NameAuthority) {
    guard let weightValue = weighted.input(1), let output = node.output(0) else { return }
    let folded = Tensor(of: Float.self, shape: weight.shape) { result in
      weight.withElements(Float.self) { source in
        for index in source.indices { result[index] = Float(Double(source[index]) * scales[channel(index)]) }
      }
    }
    let biases = Tensor(shifts.map { Float($0) }, shape: [shifts.count])
    var edits: [GraphPatch.Edit] = []
    /// The constant `old` with new contents: under its name where nobody else reads it, else under a new one.
    func replaced(_ old: Value?, _ exact: Tensor, _ fallback: String) -> Value {
      let tensor = exact.rounded(to: type)
      if let old, old.uses.count == 1, graph.initializer(for: old) != nil, !graph.isOutput(old), !graph.isInput(old),
        graph.initializer(for: old)?.elementCount == tensor.count
      {
        edits.append(.replaceInitializer(old, TensorLiteral(name: old.name, tensor)))
        return old
      }
      let name = names.unique(fallback)
      let value = Value(name, type: .tensor(type, tensor.shape))
      edits.append(.addInitializer(value, TensorLiteral(name: name, tensor)))
      return value
    }
    let newWeight = replaced(weightValue, folded, "\(weightValue.name)_folded")
    let newBias = replaced(
      weighted.opType == "MatMul" ? nil : weighted.input(2), biases, "\(weightValue.name)_folded_bias")
    var target = weighted
    if weighted.opType == "MatMul" {
      edits.append(.setInput(weighted, 1, newWeight))
      // The product keeps its name; the normalization turns into the addition of b'.
      edits.append(.setOperator(node, opType: "Add"))
      edits.append(.setAttributes(node, []))
      edits.append(.setInputs(node, [node.input(0), newBias]))
      target = node
    } else {
      edits.append(.setInputs(weighted, [weighted.input(0), newWeight, newBias]))
      if weighted.opType == "Gemm", weighted.float("beta") ?? 1 != 1 {
        edits.append(.setAttributes(weighted, weighted.attributes.filter { $0.name != "beta" }))
      }
      edits.append(.setOutput(weighted, 0, output))
      edits.append(.remove(node))
    }
    let doomed = [weightValue, weighted.input(2)].compactMap { $0 } + node.inputs.dropFirst().compactMap { $0 }
    for value in unusedConstants(doomed, without: [node, target, weighted], keeping: [newWeight, newBias]) {
      if graph.isInput(value) { edits.append(.removeGraphInput(value)) }
      edits.append(.removeInitializer(value))
    }
    patch.add(
      JournalEntry(
        rule: "F01", reason: "a normalization with constant statistics is part of the \(weighted.opType) before it",
        subject: .node(node.label), action: "folded into '\(weighted.label)'"),
      edits)
  }

  /// Initializers that nobody but the given nodes reads.
  private func unusedConstants(_ values: [Value], without nodes: Set<Node>, keeping kept: [Value]) -> [Value] {
    var seen = Set<Value>(kept)
    return values.filter { value in
      graph.initializer(for: value) != nil && !graph.isOutput(value)
        && value.uses.allSatisfy { nodes.contains($0.node) } && seen.insert(value).inserted
    }
  }
}
