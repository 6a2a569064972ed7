import ONNXGraph
import QuantCore

/// From a float (or partly quantized) model to one with Q/DQ, in place.
///
/// When the report says that nothing was inserted, nothing else was changed for its own sake either, and the caller copies
/// the source instead of writing the model.
package struct QuantizationPipeline {
  let options: InsertionOptions
  let statistics: ModelStatistics
  /// Called with the name of each pass that changed the model, after it ran.
  let observe: (String, Model) throws -> Void

  package init(
    _ options: InsertionOptions, statistics: ModelStatistics,
    observe: @escaping (String, Model) throws -> Void = { _, _ in }
  ) {
    self.options = options
    self.statistics = statistics
    self.observe = observe
  }

  package func run(on model: Model) throws -> InsertionReport {
    var journal: [JournalEntry] = []
    let names = model.tensorNames
    var passes: [any Pass] = [FoldConstants(), EliminateIdentity()]
    if options.foldsBatchNormalization { passes.append(FoldBatchNormalization()) }
    let statistics = self.statistics
    passes.append(
      SettleOpset(needed: options.target.lowestOpset, requested: options.opset, target: options.target) {
        statistics[$0]?.shape
      })
    let given = model.opset()
    for pass in passes {
      let entries = try pass.run(on: model)
      if !entries.isEmpty { try observe(type(of: pass).name, model) }
      journal += entries
    }
    var report = try InsertQDQ(options, statistics: statistics, names: names).run(on: model)
    if !report.isUnchanged { try observe("InsertQDQ", model) }
    report.journal = journal + report.journal
    // A copy of the source would not have the opset that was asked for.
    if options.opset != nil, model.opset() != given { report.isUnchanged = false }
    return report
  }
}
