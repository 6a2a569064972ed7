import ONNXGraph
import QuantCore

/// From a float (or partly quantized) model to one with Q/DQ, in place.
///
/// When the report says that nothing was inserted, nothing else was changed for its own sake either, and the caller copies
/// the source instead of writing the model.
package struct QuantizationPipeline {
  let options: InsertionOptions
  let statistics: ModelStatistics
  /// Measures what the grids of tensors do to the outputs; nil where no data is at hand.
  let sensitivity: Sensitivity?
  /// Called with the name of each pass that changed the model, after it ran.
  let observe: (String, Model) throws -> Void

  package init(
    _ options: InsertionOptions, statistics: ModelStatistics, sensitivity: Sensitivity? = nil,
    observe: @escaping (String, Model) throws -> Void = { _, _ in }
  ) {
    self.options = options
    self.statistics = statistics
    self.sensitivity = sensitivity
    self.observe = observe
  }

  package func run(on model: Model) throws -> InsertionReport {
    var journal: [JournalEntry] = []
    var names = model.tensorNames
    var isReduced = false
    func perform(_ pass: any Pass) throws {
      let entries = try pass.run(on: model)
      if !entries.isEmpty { try observe(type(of: pass).name, model) }
      journal += entries
    }
    let statistics = self.statistics
    let given = model.opset()
    let halves = options.highPrecision != nil || Self.holdsHalves(model) ? RaiseOpset.halfScales : 0
    if options.folding != .none {
      for pass in [FoldConstants(), EliminateIdentity(), FoldBatchNormalization()] as [any Pass] { try perform(pass) }
    }
    let mayRaise = given ?? 0 < RaiseOpset.wideCodes && options.opset ?? RaiseOpset.wideCodes >= RaiseOpset.wideCodes
    let widens = try mayRaise && InsertQDQ(options, statistics: statistics, names: names).widens(model)
    let wide = widens ? RaiseOpset.wideCodes : 0
    try perform(
      SettleOpset(
        needed: max(options.target.lowestOpset, halves, wide), requested: options.opset, target: options.target
      ) { statistics[$0]?.shape })
    if let type = options.highPrecision {
      let pass = ReducePrecision(to: type, statistics: statistics, names: names)
      let (entries, aliases) = try pass.reduce(model)
      if !entries.isEmpty { try observe(ReducePrecision.name, model) }
      isReduced = !entries.isEmpty
      journal += entries
      names.merge(aliases) { known, _ in known }
    }
    let equalized = try EqualizeChannels(options, statistics: statistics, names: names).run(on: model)
    if !equalized.journal.isEmpty { try observe("EqualizeChannels", model) }
    journal += equalized.journal
    names.merge(equalized.names) { _, alias in alias }
    var report = try InsertQDQ(
      options, statistics: statistics, names: names, equalized: equalized, measure: sensitivity
    ).run(on: model)
    if !report.isUnchanged { try observe("InsertQDQ", model) }
    if options.usesIntegerOperators {
      guard options.target.placement == .betweenQuantized else {
        throw PassError(
          .badOption, "\(options.target.name) does not read QLinear operators",
          advice: "they are for onnxruntime's targets; leave the form to Q/DQ")
      }
      let entries = try QOperatorForm().run(on: model)
      if !entries.isEmpty { try observe(QOperatorForm.name, model) }
      report.isUnchanged = report.isUnchanged && entries.isEmpty
      report.journal += entries
    }
    report.journal = journal + report.journal
    // A copy of the source would not have the opset or the precision that was asked for.
    if isReduced || (options.opset != nil && model.opset() != given) { report.isUnchanged = false }
    return report
  }

  /// Whether a weighted operator computes in half precision: its scales have that type, which needs opset 19.
  private static func holdsHalves(_ model: Model) -> Bool {
    let types = FloatTypes(model)
    return model.graph.allGraphs.contains { graph in
      graph.nodes.contains { node in
        node.isStandard("Conv", "ConvTranspose", "Gemm", "MatMul")
          && node.inputs.contains { $0.flatMap { types[$0] }.map(FloatTypes.isHalf) ?? false }
      }
    }
  }
}
