import ONNXGraph
import ONNXTensor
import QuantCore

/// Inserts QuantizeLinear and DequantizeLinear by the rules of a target, with parameters from statistics.
///
/// Q/DQ that are there stay as they are and are completed. What follows from the model, the statistics and the options is
/// inserted once: a second run finds nothing to do.
package struct InsertQDQ {
  private let settings: InsertionOptions
  let statistics: ModelStatistics

  package init(_ options: InsertionOptions, statistics: ModelStatistics) {
    settings = options
    self.statistics = statistics
  }

  package func run(on model: Model) throws -> InsertionReport {
    let graph = model.graph
    let view = QuantizationView(graph)
    var options = settings
    if let type = Self.completedType(view, target: options.target) { options.target.activations.elementType = type }
    let included = try Selector.resolve(options.include, in: graph)
    let excluded = try Selector.resolve(options.exclude, in: graph)
    let judge = TensorJudge(view, statistics: statistics, options: options, excluded: excluded.tensors)
    let isSelected: (Node) -> Bool = { node in
      if excluded.nodes.contains(node) { return false }
      if options.include.isEmpty || included.nodes.contains(node) { return true }
      return (node.inputs + node.outputs).contains { $0.map { included.tensors.contains($0) } ?? false }
    }
    let plan: PlacementPlan
    switch options.target.placement {
    case .weightedInputs:
      var placement = FusionPlacement(view, options: options, judge: judge, isSelected: isSelected)
      plan = try placement.run()
    case .betweenQuantized, .everyTensor:
      var placement = RegionPlacement(view, options: options, judge: judge, isSelected: isSelected)
      plan = try placement.run()
    }
    var insertion = Insertion(model: model, view: view, plan: plan, judge: judge, options: options)
    return try insertion.run()
  }

  /// The 8-bit type of the activations that are quantized already, where it is one type and not the target's: kernels
  /// want the same type on both sides, so a model is completed in the type it was begun in.
  private static func completedType(_ view: QuantizationView, target: TargetPreset) -> ElementType? {
    guard target.placement != .weightedInputs else { return nil }
    let types = Set(
      view.pairs.values.compactMap { pair -> ElementType? in
        guard pair.quantize != nil, let type = pair.parameters?.elementType else { return nil }
        return type == .int8 || type == .uint8 ? type : nil
      })
    guard types.count == 1, let type = types.first, type != target.activations.elementType else { return nil }
    return type
  }
}

/// Turns a plan into parameters and edits.
private struct Insertion {
  let model: Model
  let graph: Graph
  let view: QuantizationView
  var plan: PlacementPlan
  let judge: TensorJudge
  let options: InsertionOptions
  let target: TargetPreset
  var names: NameAuthority
  var patch: GraphPatch
  var report: InsertionReport
  var parameters: [Value: QuantizationParameters] = [:]
  /// The dequantized value of each tensor that has or gets a pair.
  var dequantized: [Value: Value] = [:]
  /// Operands that have got another value; what they read before may have no reader left.
  var rewired: [Edge: Value] = [:]
  var roundedWeights: [Edge: (exact: Tensor, rounded: Tensor, parameters: QuantizationParameters)] = [:]

  init(model: Model, view: QuantizationView, plan: PlacementPlan, judge: TensorJudge, options: InsertionOptions) {
    self.model = model
    graph = model.graph
    self.view = view
    self.plan = plan
    self.judge = judge
    self.options = options
    target = options.target
    names = NameAuthority(model: model)
    patch = GraphPatch(model)
    report = InsertionReport(target: options.target.name)
  }

  mutating func run() throws -> InsertionReport {
    try solveParameters()
    try insertPairs()
    try quantizeWeights()
    let biases = try correctBiases()
    try quantizeConstants(biases)
    try quantizeBiases(biases)
    rewireOperands()
    removeUnread()
    // Before the edits: they take the weights away whose shapes count.
    gatherNodes()
    let isUnchanged = patch.isEmpty
    report.journal = try patch.apply()
    report.isUnchanged = isUnchanged
    for (tensor, rule, reason) in plan.floatTensors {
      report.decisions.append(Decision(tensor: tensor.name, rule: rule, reason: reason))
    }
    return report
  }

  // MARK: Parameters

  /// Tensors that have or get a pair, once each, in the order of the plan.
  private func quantizedTensors() -> [(Value, PlacementRule)] {
    var seen = Set<Value>()
    var result: [(Value, PlacementRule)] = []
    for (tensor, rule) in plan.tensors where seen.insert(tensor).inserted { result.append((tensor, rule)) }
    for (edge, rule) in plan.edges {
      guard let value = edge.node.input(edge.index) else { continue }
      let tensor = view.tensor(value)
      if seen.insert(tensor).inserted { result.append((tensor, rule)) }
    }
    return result
  }

  private mutating func solveParameters() throws {
    var groups: [Value: [Value]] = [:]
    var order: [Value] = []
    let tensors = quantizedTensors()
    for (tensor, _) in tensors {
      let root = plan.groups.root(tensor)
      if groups[root] == nil { order.append(root) }
      groups[root, default: []].append(tensor)
    }
    for root in order {
      let members = groups[root] ?? []
      var ranges: [TensorJudge.Measured] = []
      var trained: QuantizationParameters?
      for tensor in members {
        switch try judge.verdict(tensor) {
        case .existing:
          if let known = view.pairs[tensor]?.parameters, known.axis == nil {
            parameters[tensor] = known
            trained = trained ?? known
          }
        case .measured(let measured): ranges.append(measured)
        case .constant, .float, .unusable: break
        }
      }
      guard let first = ranges.first else { continue }
      var shared = trained ?? first.parameters
      if trained == nil, ranges.count > 1 {
        let union = ValueRange(ranges.map(\.range.lower).min() ?? 0, ranges.map(\.range.upper).max() ?? 0)
        shared = try target.activations.parameters(for: union)
      }
      for tensor in members where parameters[tensor] == nil { parameters[tensor] = shared }
    }
    for (tensor, rule) in tensors {
      let root = plan.groups.root(tensor)
      let others = (groups[root] ?? []).count - 1
      var decision = Decision(
        tensor: tensor.name, rule: rule, reason: others > 0 ? "shares its scale with \(others) more" : rule.sentence,
        parameters: parameters[tensor])
      switch try judge.verdict(tensor) {
      case .measured(let measured): (decision.method, decision.range) = (measured.method, measured.range)
      case .existing:
        decision.method = "existing"
        decision.rule = .existing
        decision.reason = PlacementRule.existing.sentence
        decision.isExisting = true
      case .constant, .float, .unusable: break
      }
      if decision.parameters != nil || decision.isExisting { report.decisions.append(decision) }
    }
  }

  // MARK: Activations

  private mutating func insertPairs() throws {
    for (tensor, rule) in quantizedTensors() {
      if let pair = view.pairs[tensor] {
        dequantized[tensor] = try existingValue(tensor, pair)
        continue
      }
      guard let grid = parameters[tensor] else { continue }
      try insertPair(tensor, grid, rule)
    }
    // All readers of these read the dequantized tensor.
    for (tensor, _) in plan.tensors where view.pairs[tensor] == nil {
      guard let value = dequantized[tensor], value !== tensor else { continue }
      for use in tensor.uses { rewire(Edge(node: use.node, index: use.index), to: value) }
    }
    for (edge, _) in plan.edges {
      guard let value = edge.node.input(edge.index), !view.isDequantized(value),
        let source = dequantized[view.tensor(value)]
      else { continue }
      if source !== value { rewire(edge, to: source) }
    }
  }

  private mutating func existingValue(_ tensor: Value, _ pair: QuantizationView.Pair) throws -> Value? {
    if let output = pair.dequantize?.output(0) { return output }
    guard let quantize = pair.quantize, let codes = quantize.output(0) else { return nil }
    let value = Value(names.unique("\(tensor.name)_DequantizeLinear_Output"), type: tensor.type)
    let node = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(tensor.name)_DequantizeLinear"),
      inputs: [codes] + quantize.inputs.dropFirst(), outputs: [value],
      attributes: quantize.attributes.filter { $0.name == "axis" })
    // Only where somebody is going to read it.
    let isRead = plan.edges.contains { edge, _ in
      edge.node.input(edge.index).map { view.tensor($0) === tensor && !view.isDequantized($0) } ?? false
    }
    guard isRead else { return nil }
    patch.add(entry(.existing, .tensor(tensor.name), "DequantizeLinear added"), .insert(node, .after(quantize)))
    report.pairs += 1
    return value
  }

  private mutating func insertPair(_ tensor: Value, _ grid: QuantizationParameters, _ rule: PlacementRule) throws {
    let base = tensor.name
    let (scale, zeroPoint, edits) = try gridValues(base, grid)
    let codes = Value(
      names.unique("\(base)_QuantizeLinear_Output"), type: ValueType(tensor.type, elementType: grid.elementType))
    let isRenamed = graph.isOutput(tensor) && tensor.producer != nil && plan.tensors.contains { $0.tensor === tensor }
    var source = tensor
    var result = tensor
    var all = edits
    if isRenamed, let producer = tensor.producer, let index = tensor.outputIndex {
      // The output keeps its name: it becomes the dequantized tensor.
      source = Value(names.unique("\(base)_QuantizeInput"), type: tensor.type)
      all.append(.setOutput(producer, index, source))
    } else {
      result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: tensor.type)
    }
    let position: GraphPatch.Position = tensor.producer.map { .after($0) } ?? .front
    all.append(
      .insert(
        NodeBlueprint(
          "QuantizeLinear", name: names.unique("\(base)_QuantizeLinear"), inputs: [source, scale, zeroPoint],
          outputs: [codes]), position))
    all.append(
      .insert(
        NodeBlueprint(
          "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [codes, scale, zeroPoint],
          outputs: [result]), position))
    patch.add(entry(rule, .tensor(base), "Q/DQ inserted"), all)
    report.pairs += 1
    dequantized[tensor] = result
  }

  /// Scale and zero point as initializers, named after what they belong to.
  private mutating func gridValues(
    _ base: String, _ grid: QuantizationParameters
  ) throws -> (Value, Value, [GraphPatch.Edit]) {
    let shape = grid.axis == nil ? [] : [grid.scales.count]
    let scale = Tensor(grid.scales, shape: shape)
    let zeroPoint: Tensor
    switch grid.elementType {
    case .int8: zeroPoint = Tensor(grid.zeroPoints.map { Int8(clamping: $0) }, shape: shape)
    case .uint8: zeroPoint = Tensor(grid.zeroPoints.map { UInt8(clamping: $0) }, shape: shape)
    case .int16: zeroPoint = Tensor(grid.zeroPoints.map { Int16(clamping: $0) }, shape: shape)
    case .uint16: zeroPoint = Tensor(grid.zeroPoints.map { UInt16(clamping: $0) }, shape: shape)
    case .int32: zeroPoint = Tensor(grid.zeroPoints, shape: shape)
    default: throw PassError(.badOption, "zero points of type \(grid.elementType.name) are not supported")
    }
    let (scaleValue, scaleEdit) = constant("\(base)_scale", scale)
    let (zeroValue, zeroEdit) = constant("\(base)_zero_point", zeroPoint)
    return (scaleValue, zeroValue, [scaleEdit, zeroEdit])
  }

  private mutating func constant(_ name: String, _ tensor: Tensor) -> (Value, GraphPatch.Edit) {
    let value = Value(names.unique(name), type: .tensor(tensor.elementType, tensor.shape))
    return (value, .addInitializer(value, TensorLiteral(name: value.name, tensor)))
  }

  // MARK: Weights

  private struct WeightKey: Hashable {
    let value: Value
    let axis: Int?
  }

  private mutating func quantizeWeights() throws {
    var users: [WeightKey: [PlacementPlan.Weight]] = [:]
    var order: [WeightKey] = []
    for weight in plan.weights {
      guard let value = weight.node.input(weight.index) else { continue }
      let key = WeightKey(value: value, axis: weight.axis)
      if users[key] == nil { order.append(key) }
      users[key, default: []].append(weight)
    }
    for key in order {
      guard let readers = users[key], let first = readers.first, let exact = view.constants.tensor(key.value) else {
        continue
      }
      let quantizer = WeightQuantizer(
        scheme: target.weights, axis: key.axis, smallestScales: smallestScales(readers, exact, axis: key.axis))
      let (codes, grid) = try quantizer.quantize(exact)
      let rounded = try grid.dequantize(codes)
      let value = try insertConstant(
        key.value, codes, grid, .weight, before: first.node,
        reason: readers.count > 1 ? "\(readers.count) operators share it" : PlacementRule.weight.sentence)
      for weight in readers {
        let edge = Edge(node: weight.node, index: weight.index)
        rewire(edge, to: value)
        roundedWeights[edge] = (exact, rounded, grid)
      }
      report.decisions.append(
        Decision(
          tensor: key.value.name, rule: .weight, reason: PlacementRule.weight.sentence, parameters: grid,
          method: "weights"))
    }
  }

  /// Codes as an initializer behind DequantizeLinear.
  private mutating func insertConstant(
    _ old: Value, _ codes: Tensor, _ grid: QuantizationParameters, _ rule: PlacementRule, before node: Node,
    reason: String
  ) throws -> Value {
    let base = old.name
    let (scale, zeroPoint, edits) = try gridValues(base, grid)
    let (stored, edit) = constant("\(base)_quantized", codes)
    let result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: .tensor(.float32, codes.shape))
    let dequantize = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [stored, scale, zeroPoint],
      outputs: [result], attributes: grid.axis.map { [Attribute("axis", int: $0)] } ?? [])
    patch.add(
      JournalEntry(rule: rule.id, reason: reason, subject: .tensor(base), action: "stored as \(grid.elementType.name)"),
      [edit] + edits + [.insert(dequantize, .before(node))])
    report.pairs += 1
    return result
  }

  /// What an int32 bias needs: |b| must be within 2^31 steps of s_x·s_w, with room for the correction, and the product
  /// must be a normal number. Weights of a channel that this coarsens are too small to matter beside its bias.
  private func smallestScales(_ readers: [PlacementPlan.Weight], _ exact: Tensor, axis: Int?) -> [Float]? {
    guard target.bias == .int32 else { return nil }
    let channels = axis.map { exact.shape[$0] } ?? 1
    var smallest = [Float](repeating: 0, count: channels)
    for weight in readers {
      guard let operation = plan.weighted.first(where: { $0.node == weight.node }),
        let input = weight.node.input(operation.input), let grid = parameters[view.tensor(input)], grid.axis == nil
      else { continue }
      let scale = Double(grid.scale)
      let biases = operation.bias.flatMap { edge in
        edge.node == weight.node ? edge.node.input(edge.index).flatMap { view.constants.floats(view.tensor($0)) } : nil
      }
      for channel in 0..<channels {
        var least = Double(Float.leastNormalMagnitude) * 2 / scale
        if let biases, !biases.isEmpty {
          let magnitude =
            biases.count == channels
            ? biases[channel].magnitude : biases.map(\.magnitude).max() ?? 0
          least = max(least, 1.0001 * 4 * Double(magnitude) / (4_294_967_294 * scale))
        }
        smallest[channel] = max(smallest[channel], Float(min(least, Double(Float.greatestFiniteMagnitude))))
      }
    }
    return smallest
  }

  // MARK: Biases

  /// Corrected biases by operand.
  private mutating func correctBiases() throws -> [Edge: Tensor] {
    var result: [Edge: Tensor] = [:]
    guard options.correctsBias else { return result }
    for operation in plan.weighted {
      let node = operation.node
      guard let weight = roundedWeights[Edge(node: node, index: operation.weight)],
        let input = node.input(operation.input),
        let axis = BiasCorrection.channelAxis(node)
      else { continue }
      let tensor = view.tensor(input)
      let measured = judge.statistics(of: tensor)
      guard let means = measured.flatMap({ channelMeans($0, axis: axis) }) else {
        patch.note(entry(.biasCorrection, .node(node.label), "not corrected: no channel means of '\(tensor.name)'"))
        continue
      }
      let correction = BiasCorrection(node: node, inputShape: measured?.shape)
      guard var shifts = correction.shifts(weight: weight.exact, rounded: weight.rounded, means: means),
        shifts.allSatisfy(\.isFinite), shifts.contains(where: { $0 != 0 })
      else { continue }
      guard let edge = operation.bias else {
        patch.note(entry(.biasCorrection, .node(node.label), "not corrected: nothing behind it takes a bias"))
        continue
      }
      if node.opType == "Gemm" {
        let (alpha, beta) = (Double(node.float("alpha") ?? 1), Double(node.float("beta") ?? 1))
        guard beta != 0 else { continue }
        shifts = shifts.map { $0 * alpha / beta }
      }
      let old = edge.node.input(edge.index)
      var values = [Float](repeating: 0, count: shifts.count)
      var shape = [shifts.count]
      if let old {
        let source = view.tensor(old)
        guard !view.isDequantized(old), let stored = view.constants.floats(source),
          let extents = view.constants.shape(source),
          stored.count == shifts.count && extents.last == shifts.count || stored.count == 1
        else {
          patch.note(entry(.biasCorrection, .node(node.label), "not corrected: its bias is no constant per channel"))
          continue
        }
        if stored.count == shifts.count {
          (values, shape) = (stored, extents)
        } else {
          values = [Float](repeating: stored[0], count: shifts.count)
        }
      }
      for index in values.indices { values[index] = Float(Double(values[index]) - shifts[index]) }
      result[edge] = Tensor(values, shape: shape)
      patch.note(entry(.biasCorrection, .node(node.label), "bias corrected"))
    }
    return result
  }

  private func channelMeans(_ statistics: TensorStatistics, axis: Int) -> [Double]? {
    if let means = statistics.channels(axis: axis)?.means { return means }
    guard let rank = statistics.shapes.first?.lowest.count, statistics.shapes.count == 1 else { return nil }
    return statistics.channels(axis: axis < 0 ? axis + rank : axis - rank)?.means
  }

  /// Constant operands of operators without weights, on the activation grid.
  private mutating func quantizeConstants(_ corrected: [Edge: Tensor]) throws {
    var known: [Value: Value] = [:]
    for edge in plan.constants {
      guard let value = edge.node.input(edge.index) else { continue }
      if corrected[edge] == nil, let done = known[value] {
        rewire(edge, to: done)
        continue
      }
      guard let exact = corrected[edge] ?? view.constants.tensor(value), let values = exact.floats,
        let first = values.first
      else { continue }
      let range = values.reduce(ValueRange(first, first)) { ValueRange(min($0.lower, $1), max($0.upper, $1)) }
      let grid = try target.activations.parameters(for: range)
      let dequantized = try insertConstant(
        value, try grid.quantize(exact), grid, .constant, before: edge.node, reason: PlacementRule.constant.sentence)
      if corrected[edge] == nil { known[value] = dequantized }
      rewire(edge, to: dequantized)
      report.decisions.append(
        Decision(
          tensor: value.name, rule: .constant, reason: PlacementRule.constant.sentence, parameters: grid,
          method: "constant", range: range))
    }
  }

  private mutating func quantizeBiases(_ corrected: [Edge: Tensor]) throws {
    let constants = Set(plan.constants)
    for operation in plan.weighted {
      guard let edge = operation.bias, !constants.contains(edge) else { continue }
      let old = edge.node.input(edge.index)
      if let old, view.isDequantized(old) { continue }
      let isOwn = edge.node == operation.node
      let exact = corrected[edge] ?? old.flatMap { view.constants.tensor(view.tensor($0)) }
      if target.bias == .int32, isOwn, let exact, exact.elementType == .float32, let grid = biasGrid(operation, exact) {
        let name = old?.name ?? "\(edge.node.output(0)?.name ?? edge.node.opType)_bias"
        let values = exact.array(Float.self)
        let codes = values.indices.map { index -> Int32 in
          let steps = (Double(values[index]) / Double(grid.scales[grid.axis == nil ? 0 : index])).rounded(
            .toNearestOrEven)
          return Int32(min(max(steps, -2_147_483_647), 2_147_483_647))
        }
        let flat = Tensor(codes, shape: [codes.count])
        let value = try insertConstant(
          Value(name), flat, grid, .integerBias, before: edge.node, reason: PlacementRule.integerBias.sentence)
        rewire(edge, to: value)
        report.decisions.append(
          Decision(
            tensor: name, rule: .integerBias, reason: PlacementRule.integerBias.sentence, parameters: grid,
            method: corrected[edge] == nil ? "weights" : "corrected"))
      } else if let changed = corrected[edge] {
        let name = old.map { "\($0.name)_corrected" } ?? "\(edge.node.output(0)?.name ?? edge.node.opType)_bias"
        let (value, edit) = constant(name, changed)
        patch.add(entry(.biasCorrection, .tensor(value.name), "float bias stored"), edit)
        rewire(edge, to: value)
      }
    }
  }

  /// s_x · s_w in float32; nil where the bias has another form than one number per output channel or scales are unknown.
  private func biasGrid(_ operation: PlacementPlan.Weighted, _ bias: Tensor) -> QuantizationParameters? {
    let node = operation.node
    if node.opType == "Gemm", node.float("alpha") ?? 1 != 1 || node.float("beta") ?? 1 != 1 { return nil }
    guard let input = node.input(operation.input), let x = parameters[view.tensor(input)], x.axis == nil,
      let weight = node.input(operation.weight)
    else { return nil }
    let w =
      roundedWeights[Edge(node: node, index: operation.weight)]?.parameters
      ?? view.pairs[view.tensor(weight)]?.parameters
    guard let w, w.scales.count == 1 || w.scales.count == bias.count, bias.count > 0 else { return nil }
    // With several groups the scales of a ConvTranspose count the channels of one group.
    guard bias.rank == 1 || bias.shape.dropLast().allSatisfy({ $0 == 1 }) else { return nil }
    let scales = w.scales.map { x.scale * $0 }
    let values = bias.array(Float.self)
    for (index, value) in values.enumerated() {
      let scale = scales[scales.count == 1 ? 0 : index]
      guard scale.isNormal, Double(value.magnitude) / Double(scale) <= 2_147_483_647 else { return nil }
    }
    let zeros = [Int32](repeating: 0, count: scales.count)
    return scales.count == 1 && w.axis == nil
      ? QuantizationParameters(elementType: .int32, scale: scales[0], zeroPoint: 0)
      : QuantizationParameters(elementType: .int32, scales: scales, zeroPoints: zeros, axis: 0)
  }

  // MARK: Operands

  private mutating func rewire(_ edge: Edge, to value: Value) { rewired[edge] = value }

  /// Sets all changed operands, node by node in the order of the graph, nested graphs included.
  private mutating func rewireOperands() {
    var byNode: [Node: [(Int, Value)]] = [:]
    for (edge, value) in rewired { byNode[edge.node, default: []].append((edge.index, value)) }
    for node in graph.allGraphs.flatMap(\.nodes) {
      guard let changes = byNode[node] else { continue }
      var inputs = node.inputs
      for (index, value) in changes {
        while inputs.count <= index { inputs.append(nil) }
        inputs[index] = value
      }
      patch.append(.setInputs(node, inputs))
    }
  }

  /// Constants that only rewired operands read are gone.
  private mutating func removeUnread() {
    var seen = Set<Value>()
    for node in graph.nodes {
      for value in node.inputs {
        guard let value, view.constants.isConstant(value), !graph.isOutput(value) else { continue }
        guard value.uses.allSatisfy({ rewired[Edge(node: $0.node, index: $0.index)] != nil }),
          seen.insert(value).inserted
        else { continue }
        if graph.initializer(for: value) != nil {
          if graph.isInput(value) { patch.append(.removeGraphInput(value)) }
          patch.append(.removeInitializer(value))
        } else if let producer = value.producer {
          patch.append(.remove(producer))
        }
      }
    }
  }

  private func entry(_ rule: PlacementRule, _ subject: JournalEntry.Subject, _ action: String) -> JournalEntry {
    JournalEntry(rule: rule.id, reason: rule.sentence, subject: subject, action: action)
  }

  // MARK: Report

  private mutating func gatherNodes() {
    for node in view.nodes {
      let outcome = plan.outcomes[node] ?? (false, .noRole, PlacementRule.noRole.sentence)
      report.nodes.append(
        NodeOutcome(
          node: node.label, opType: node.opType, isQuantized: outcome.isQuantized, rule: outcome.rule,
          reason: outcome.reason, macs: macs(node)))
      for nested in node.subgraphs.flatMap(\.allGraphs) {
        for inner in nested.nodes where inner.isStandard && target.weighted.contains(inner.opType) {
          report.nodes.append(
            NodeOutcome(
              node: "\(node.label)/\(inner.label)", opType: inner.opType, isQuantized: false, rule: .nested,
              reason: PlacementRule.nested.sentence, macs: 0))
        }
      }
    }
  }

  private func macs(_ node: Node) -> Int {
    guard node.isStandard, let output = node.output(0), let shape = judge.shape(output) else { return 0 }
    func product(_ values: some Sequence<Int>) -> Int {
      values.reduce(1) {
        let (p, o) = $0.multipliedReportingOverflow(by: $1); return o ? 0 : p
      }
    }
    let elements = product(shape)
    switch node.opType {
    case "Conv", "ConvTranspose":
      guard let weight = weightShape(node), weight.count >= 3 else { return 0 }
      if node.opType == "Conv" { return product([elements] + weight.dropFirst()) }
      guard let input = node.input(0).flatMap({ judge.shape(view.tensor($0)) }) else { return 0 }
      return product([product(input)] + weight.dropFirst())
    case "Gemm", "MatMul":
      if let weight = weightShape(node), weight.count >= 2 {
        let isTransposed = node.opType == "Gemm" && node.int("transB") ?? 0 != 0
        return product([elements, weight[weight.count - (isTransposed ? 1 : 2)]])
      }
      guard let input = node.input(0).flatMap({ judge.shape(view.tensor($0)) }), let depth = input.last else {
        return 0
      }
      return product([elements, depth])
    default: return 0
    }
  }

  private func weightShape(_ node: Node) -> [Int]? { node.input(1).flatMap { view.constantShape(view.tensor($0)) } }
}

extension ValueType {
  /// The same shape with another element type; nil where there is no tensor type to start from.
  init?(_ type: ValueType?, elementType: ElementType) {
    guard var tensor = type?.tensorType else { return nil }
    tensor.elementType = elementType.rawValue
    self.init(.tensor(tensor))
  }
}
