import ONNXGraph
import QuantCore

/// What of one graph is quantized, and by which method its ranges are found.
struct Planning {
  /// A method takes the place of min-max where the outputs gain this much by it, in dB.
  static let smallestMethodGain = 0.25
  /// Where the grids together leave the outputs this much, in dB, nothing else is tried.
  static let enough = 30.0
  static let methods: [RangeMethod] = [.percentile(99.999), .percentile(99.99), .meanSquaredError]

  let model: Model
  let entry: Graph.Enclosed
  let view: QuantizationView
  let options: InsertionOptions
  let selection: InsertQDQ.Selection
  let statistics: ModelStatistics
  let names: [Value: String]
  let types: FloatTypes
  let equalized: EqualizeChannels.Result
  let sensitivity: Sensitivity?
  /// The opset has 16-bit codes.
  let allowsWide: Bool

  func run() throws -> (PlacementPlan, TensorJudge, InsertionOptions) {
    var options = self.options
    var judge = self.judge(options)
    var plan = try place(options, judge)
    guard let budget = options.rescueBudget else { return (plan, judge, options) }
    guard let sensitivity else {
      plan = try rescue(options, judge, budget).run(
        plan, by: .channelNoise(plan.activationTensors(view), judge: judge))
      return (plan, judge, options)
    }
    let start = plan
    let alone = RescueTrials(model: model, judge: judge, types: types, sensitivity: sensitivity)
    plan = try rescue(options, judge, budget).run(start, by: alone.alone(start.activationTensors(view)))
    guard let reached = try alone.together(plan.activationTensors(view)), reached < Self.enough else {
      return (plan, judge, options)
    }
    if options.measuresMethod {
      var best = reached + Self.smallestMethodGain
      for method in Self.methods {
        var other = self.options
        other.method = method
        let trial = self.judge(other)
        trial.rescueAlso(judge)
        let trials = RescueTrials(model: model, judge: trial, types: types, sensitivity: sensitivity)
        let placed = try place(other, trial)
        guard let ratio = try trials.together(placed.activationTensors(view)), ratio > best else { continue }
        (best, options, judge, plan) = (ratio, other, trial, placed)
      }
    }
    let left = RescueTrials(model: model, judge: judge, types: types, sensitivity: sensitivity)
    plan = try rescue(options, judge, budget).run(
      plan, by: left.left(plan.activationTensors(view)), since: start)
    return (plan, judge, options)
  }

  private func judge(_ options: InsertionOptions) -> TensorJudge {
    let judge = TensorJudge(
      view, statistics: statistics, options: options, excluded: selection.excluded.tensors, names: names,
      ranges: equalized.ranges)
    guard options.rescueBudget != nil else { return judge }
    let left = Set(model.floatTensors)
    for value in entry.graph.values where left.contains(value.name) {
      judge.rescue(value, reason: "an earlier insertion left it float")
    }
    for value in equalized.outputs {
      judge.rescue(value, reason: "its channels were made alike before the factors; behind them they differ")
    }
    return judge
  }

  private func rescue(_ options: InsertionOptions, _ judge: TensorJudge, _ budget: Double) -> Rescue {
    Rescue(view: view, judge: judge, budget: budget, widens: allowsWide && options.target.wideActivations != nil) {
      try place(options, judge)
    }
  }

  private func place(_ options: InsertionOptions, _ judge: TensorJudge) throws -> PlacementPlan {
    switch options.target.placement {
    case .weightedInputs:
      var placement = FusionPlacement(view, options: options, judge: judge, isSelected: selection.contains)
      return try placement.run()
    case .betweenQuantized, .everyTensor:
      var placement = RegionPlacement(view, options: options, judge: judge, isSelected: selection.contains)
      return try placement.run()
    }
  }
}
