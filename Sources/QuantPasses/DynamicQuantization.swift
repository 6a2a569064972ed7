import ONNXGraph
import ONNXTensor
import QuantCore

/// Products with constant weights in integers, the other operand quantized as the model runs, by the range it then has.
///
///     y = MatMul(x, w)   ->   q, s, z = DynamicQuantizeLinear(x)
///                             y = Cast(MatMulInteger(q, w_quantized, z)) * (s * w_scale)
///
/// Gemm gets an Add for its bias; with alpha, beta or transA it stays float. Weights are int8, one scale per output channel.
/// One x with several readers is quantized once. A second run finds nothing to do.
package struct DynamicQuantization {
  let options: WeightOnlyOptions
  let store: any WeightStore

  package init(_ options: WeightOnlyOptions, store: any WeightStore = MemoryWeightStore()) {
    var options = options
    options.elementType = .int8
    options.blockSize = nil
    options.includesEmbeddings = false
    self.options = options
    self.store = store
  }

  package func run(on model: Model) throws -> WeightOnlyReport {
    var report = WeightOnlyReport(target: options.target.name)
    let search = try WeightSearch(model, options: options)
    report.nodes = search.outcomes
    let weights = search.weights.compactMap { weight -> WeightSearch.Weight? in
      var weight = weight
      weight.readers = weight.readers.filter { Self.isProduct($0, search.graphs[weight.graph]) }
      let isUsable = weight.literal.elementType == .float32 && weight.literal.dims.count == 2
      return isUsable && !weight.readers.isEmpty ? weight : nil
    }
    let taken = Set(weights.flatMap { $0.readers.map(\.node.label) })
    for index in report.nodes.indices where report.nodes[index].isQuantized {
      let isTaken = taken.contains(report.nodes[index].node)
      let rule = isTaken ? PlacementRule.dynamicProduct : .dynamicForm
      report.nodes[index].isQuantized = isTaken
      (report.nodes[index].rule, report.nodes[index].reason) = (rule, rule.sentence)
    }
    guard !weights.isEmpty else { return report }
    // The lowest opset with DynamicQuantizeLinear is 11; below 13 only the step to 13 is known.
    let current = model.opset() ?? 1
    report.journal += try SettleOpset(
      needed: current < 11 ? RaiseOpset.perAxis : min(current, RaiseOpset.perAxis), requested: options.opset,
      target: options.target
    ).run(on: model)
    var names = NameAuthority(model: model)
    var patches: [GraphPatch] = search.graphs.map { GraphPatch(model, graph: $0) }
    var sources: [Value: [Value]] = [:]
    for weight in weights {
      report.decisions.append(try convert(weight, &patches[weight.graph], &names, &sources))
    }
    report.isUnchanged = patches.allSatisfy(\.isEmpty)
    for patch in patches { report.journal += try patch.apply() }
    return report
  }

  /// MatMul and plain Gemm of the graph that holds the weight, which is their second operand.
  private static func isProduct(_ edge: Edge, _ graph: Graph) -> Bool {
    let node = edge.node
    guard edge.index == 1, node.input(0) != nil, graph.nodes.contains(node) else { return false }
    if node.opType == "MatMul" { return true }
    return node.opType == "Gemm" && node.float("alpha") ?? 1 == 1 && node.float("beta") ?? 1 == 1
      && node.int("transA") ?? 0 == 0
  }

  private func convert(
    _ weight: WeightSearch.Weight, _ patch: inout GraphPatch, _ names: inout NameAuthority,
    _ sources: inout [Value: [Value]]
  ) throws -> WeightDecision {
    let base = weight.value.name
    var exact = try weight.literal.tensor()
    // MatMulInteger sums over the first axis of its weight.
    if weight.axis == 1 { exact = Self.transposed(exact) }
    var quantizer = BlockQuantizer(elementType: .int8, axis: 0, blockSize: max(exact.shape[0], 1))
    quantizer.method = options.method
    let result: BlockQuantized
    do {
      result = try quantizer.quantize(exact, threads: options.threads)
    } catch {
      throw PassError(
        .notConvertible, "the weight '\(base)' cannot be quantized: \(error.message)",
        advice: "leave it out with --exclude")
    }
    store.release(weight.literal)
    let scales = result.scales.reshaped([exact.shape[1]])
    func constant(_ suffix: String, _ tensor: Tensor) throws -> (Value, GraphPatch.Edit) {
      let value = Value(names.unique("\(base)_\(suffix)"), type: .tensor(tensor.elementType, tensor.shape))
      return (value, .addInitializer(value, try store.store(value.name, tensor)))
    }
    let (codes, codesEdit) = try constant("quantized", result.codes)
    let (scale, scaleEdit) = try constant("scale", scales)
    patch.add(
      JournalEntry(
        rule: PlacementRule.dynamicProduct.id, reason: PlacementRule.dynamicProduct.sentence, subject: .tensor(base),
        action: "stored as int8"), [codesEdit, scaleEdit])
    for reader in weight.readers { replace(reader.node, codes, scale, &patch, &names, &sources) }
    let readers = Set(weight.readers)
    let isUnread = weight.value.uses.allSatisfy { readers.contains(Edge(node: $0.node, index: $0.index)) }
    if isUnread, !patch.graph.isOutput(weight.value) {
      if patch.graph.initializer(for: weight.value) != nil {
        if patch.graph.isInput(weight.value) { patch.append(.removeGraphInput(weight.value)) }
        patch.append(.removeInitializer(weight.value))
      } else if let producer = weight.value.producer {
        patch.append(.remove(producer))
      }
    }
    return WeightDecision(
      tensor: base, rule: .dynamicProduct, reason: PlacementRule.dynamicProduct.sentence, elementType: .int8, axis: 1,
      blockSize: nil, scales: scales.floats, zeroPoints: [Int32](repeating: 0, count: scales.count),
      sqnr: result.sqnr, bytesBefore: exact.byteCount, bytesAfter: result.codes.byteCount + scales.byteCount)
  }

  private func replace(
    _ node: Node, _ codes: Value, _ scale: Value, _ patch: inout GraphPatch, _ names: inout NameAuthority,
    _ sources: inout [Value: [Value]]
  ) {
    guard let x = node.input(0), let y = node.output(0) else { return }
    let base = node.name.flatMap { $0.isEmpty ? nil : $0 } ?? y.name
    var edits: [GraphPatch.Edit] = []
    let quantized: [Value]
    if let known = sources[x] {
      quantized = known
    } else {
      quantized = ["quantized", "scale", "zero_point"].map { Value(names.unique("\(x.name)_dynamic_\($0)")) }
      sources[x] = quantized
      edits.append(
        .insert(
          NodeBlueprint(
            "DynamicQuantizeLinear", name: names.unique("\(x.name)_DynamicQuantizeLinear"), inputs: [x],
            outputs: quantized), x.producer.map { patch.graph.nodes.contains($0) ? .after($0) : .front } ?? .front))
    }
    func insert(_ type: String, _ inputs: [Value], _ output: Value? = nil, _ attributes: [Attribute] = []) -> Value {
      let result = output ?? Value(names.unique("\(base)_\(type)_output"))
      edits.append(
        .insert(
          NodeBlueprint(
            type, name: names.unique("\(base)_\(type)"), inputs: inputs, outputs: [result], attributes: attributes),
          .before(node)))
      return result
    }
    let bias = node.opType == "Gemm" ? node.input(2) : nil
    edits.append(.setOutput(node, 0, nil))
    let sums = insert("MatMulInteger", [quantized[0], codes, quantized[2]])
    let real = insert("Cast", [sums], nil, [Attribute("to", int: Int(ElementType.float32.rawValue))])
    let factor = insert("Mul", [quantized[1], scale])
    let product = insert("Mul", [real, factor], bias == nil ? y : nil)
    if let bias { _ = insert("Add", [product, bias], y) }
    edits.append(.remove(node))
    patch.add(
      JournalEntry(
        rule: PlacementRule.dynamicProduct.id, reason: PlacementRule.dynamicProduct.sentence,
        subject: .node(node.label), action: "\(node.opType) became MatMulInteger"), edits)
  }

  private static func transposed(_ tensor: Tensor) -> Tensor {
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    return tensor.withElements(Float.self) { source in
      Tensor(of: Float.self, shape: [columns, rows]) { target in
        for row in 0..<rows {
          for column in 0..<columns { target[column * rows + row] = source[row * columns + column] }
        }
      }
    }
  }
}
