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

  private let names: [Value: String]?
  private let equalized: EqualizeChannels.Result
  private let measure: Sensitivity?

  /// - Parameter names: what the statistics call tensors; nil for the model's own names.
  package init(_ options: InsertionOptions, statistics: ModelStatistics, names: [Value: String]? = nil) {
    self.init(options, statistics: statistics, names: names, equalized: EqualizeChannels.Result())
  }

  /// - Parameter equalized: what was done to convolutions before.
  /// - Parameter measure: ranks tensors by what their grids do to the outputs; nil for what statistics say of them.
  init(
    _ options: InsertionOptions, statistics: ModelStatistics, names: [Value: String]?,
    equalized: EqualizeChannels.Result, measure: Sensitivity? = nil
  ) {
    settings = options
    self.statistics = statistics
    self.names = names
    self.equalized = equalized
    self.measure = measure
  }

  /// Nested graphs first: a graph sees the tensors of those around it, not the other way round.
  package func run(on model: Model) throws -> InsertionReport {
    let selection = try Selection(settings, in: model.graph)
    let names = self.names ?? model.tensorNames
    let types = FloatTypes(model)
    let enclosed = model.graph.enclosedGraphs()
    let constants = enclosed.count == 1 ? [] : Self.readConstants(enclosed)
    var reports: [InsertionReport] = []
    for entry in enclosed.reversed() {
      reports.append(try quantize(entry, of: model, selection, names: names, types: types))
    }
    var report = InsertionReport(target: settings.target.name)
    for part in reports.reversed() {
      report.decisions += part.decisions
      report.nodes += part.nodes
      report.pairs += part.pairs
      report.journal += part.journal
      report.isUnchanged = report.isUnchanged && part.isUnchanged
    }
    try Self.removeUnread(constants, of: model)
    if !report.isUnchanged {
      let left = report.decisions.filter { $0.rule == .rescued && !$0.isQuantized }.map(\.tensor)
      model.floatTensors = model.floatTensors + left.filter { !model.floatTensors.contains($0) }
    }
    return report
  }

  /// Whether tensors of the main graph ask for the target's wide type, which needs a later opset.
  func widens(_ model: Model) throws -> Bool {
    guard settings.target.wideActivations != nil, settings.rescueBudget != nil else { return false }
    let entry: Graph.Enclosed = (model.graph, [], "")
    let planning = Planning(
      model: model, entry: entry, view: QuantizationView(model.graph), options: settings,
      selection: try Selection(settings, in: model.graph), statistics: statistics, names: names ?? [:],
      types: FloatTypes(model), equalized: equalized, sensitivity: nil, allowsWide: true)
    return try planning.run().1.hasWidened
  }

  /// What the options name.
  struct Selection {
    let options: InsertionOptions
    let included: (nodes: Set<Node>, tensors: Set<Value>)
    var excluded: (nodes: Set<Node>, tensors: Set<Value>)
    let overrides: ResolvedOverrides

    init(_ options: InsertionOptions, in graph: Graph) throws {
      self.options = options
      included = try Selector.resolve(options.include, in: graph)
      excluded = try Selector.resolve(options.exclude, in: graph)
      overrides = try ResolvedOverrides(options.overrides, in: graph)
      excluded.nodes.formUnion(overrides.floatNodes)
      excluded.tensors.formUnion(overrides.floatTensors)
    }

    func contains(_ node: Node) -> Bool {
      if excluded.nodes.contains(node) { return false }
      if options.include.isEmpty || included.nodes.contains(node) { return true }
      return (node.inputs + node.outputs).contains { $0.map { included.tensors.contains($0) } ?? false }
    }
  }

  private func quantize(
    _ entry: Graph.Enclosed, of model: Model, _ selection: Selection, names: [Value: String], types: FloatTypes
  ) throws -> InsertionReport {
    let view = QuantizationView(entry.graph, within: entry.outer)
    var options = settings
    if !entry.outer.isEmpty, !wasRun(entry.graph, names) { options.missingData = .float }
    if let type = Self.completedType(view, target: options.target) { options.target.activations.elementType = type }
    let planning = Planning(
      model: model, entry: entry, view: view, options: options, selection: selection, statistics: statistics,
      names: names, types: types, equalized: equalized, sensitivity: entry.outer.isEmpty ? measure : nil,
      allowsWide: model.opset() ?? 0 >= RaiseOpset.wideCodes)
    let (plan, judge, chosen) = try planning.run()
    options = chosen
    var insertion = Insertion(
      model: model, view: view, path: entry.path, plan: plan, judge: judge, options: options,
      overrides: selection.overrides, types: types)
    return try insertion.run()
  }

  /// Some sample reached the graph.
  private func wasRun(_ graph: Graph, _ names: [Value: String]) -> Bool {
    graph.nodes.contains { node in
      node.outputs.contains { value in value.map { statistics[names[$0] ?? $0.name] != nil } ?? false }
    }
  }

  /// Constants that nodes read, by the graph that holds them.
  private static func readConstants(_ graphs: [Graph.Enclosed]) -> [(graph: Graph, value: Value)] {
    let returned = Set(graphs.flatMap { $0.graph.outputs.map(\.value) })
    return graphs.flatMap { entry in
      let stored = entry.graph.initializers.map(\.value)
      let computed = entry.graph.nodes.filter { $0.isStandard("Constant") }.compactMap { $0.output(0) }
      return (stored + computed).filter { !$0.uses.isEmpty && !returned.contains($0) }.map { (entry.graph, $0) }
    }
  }

  /// Constants whose readers in nested graphs have all got another value.
  private static func removeUnread(_ constants: [(graph: Graph, value: Value)], of model: Model) throws {
    for (graph, value) in constants where value.uses.isEmpty {
      var patch = GraphPatch(model, graph: graph)
      if graph.initializer(for: value) != nil {
        if graph.isInput(value) { patch.append(.removeGraphInput(value)) }
        patch.append(.removeInitializer(value))
      } else if let producer = value.producer, graph.nodes.contains(producer) {
        patch.append(.remove(producer))
      }
      try patch.apply()
    }
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
