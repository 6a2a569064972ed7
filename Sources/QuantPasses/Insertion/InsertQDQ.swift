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
    var excluded = try Selector.resolve(options.exclude, in: graph)
    let overrides = try ResolvedOverrides(options.overrides, in: graph)
    excluded.nodes.formUnion(overrides.floatNodes)
    excluded.tensors.formUnion(overrides.floatTensors)
    let (excludedNodes, excludedTensors) = excluded
    let judge = TensorJudge(view, statistics: statistics, options: options, excluded: excludedTensors)
    let isSelected: (Node) -> Bool = { node in
      if excludedNodes.contains(node) { return false }
      if options.include.isEmpty || included.nodes.contains(node) { return true }
      return (node.inputs + node.outputs).contains { $0.map { included.tensors.contains($0) } ?? false }
    }
    func place() throws -> PlacementPlan {
      switch options.target.placement {
      case .weightedInputs:
        var placement = FusionPlacement(view, options: options, judge: judge, isSelected: isSelected)
        return try placement.run()
      case .betweenQuantized, .everyTensor:
        var placement = RegionPlacement(view, options: options, judge: judge, isSelected: isSelected)
        return try placement.run()
      }
    }
    var plan = try place()
    if let budget = options.rescueBudget {
      let ranking = try Rescue.Ranking.channelNoise(plan.activationTensors(view), judge: judge)
      plan = try Rescue(view: view, judge: judge, budget: budget, place: place).run(plan, by: ranking)
    }
    var insertion = Insertion(
      model: model, view: view, plan: plan, judge: judge, options: options, overrides: overrides)
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
