import IntegerExecution
import ONNXFormat
import ONNXGraph
import QuantPasses

/// Judges a model by the rules of one target.
public struct Lint {
  /// Names of the targets.
  public static var targets: [String] { Linter.targets }

  /// The target that models are judged for.
  public let target: String
  private let linter: Linter

  /// - Throws: `QuantizerError` of kind `usage` for an unknown target.
  public init(target: String) throws(QuantizerError) {
    self.target = target
    do {
      linter = try Linter(target: target)
    } catch {
      throw QuantizerError(.usage, "\(error)")
    }
  }

  /// Findings and predictions for a model.
  public func run(_ file: ModelFile) throws(QuantizerError) -> LintResult {
    LintResult(report(file.model), model: file.path)
  }

  private func report(_ model: Model) -> LintReport {
    var report = linter.run(on: model)
    if target == "integer" { report.addIntegerPlan(of: model) }
    return report
  }

  /// A model in which everything is mended that can be without changing a value, with what was done.
  public func fixed(_ path: String) throws(QuantizerError) -> RewrittenModel {
    try folding(path) {
      let model = try ModelDecoder.load(path: path)
      let journal = try LintFixes(target: target).run(on: model)
      return RewrittenModel(model, journal, source: path)
    }
  }
}

extension LintReport {
  /// What stays float in the integer executor, by its own lowering.
  fileprivate mutating func addIntegerPlan(of model: Model) {
    do {
      let islands = try IntegerPlan(model: model).islands
      addIntegerPlan(
        Dictionary(islands.map { ($0.node, $0.reason) }, uniquingKeysWith: { first, _ in first }), of: model)
    } catch {
      findings.append(
        .integer(severity: .error, node: nil, message: "the integer executor cannot lower the model: \(error)"))
    }
  }
}

/// A model rewritten in memory, and what was done to it.
public struct RewrittenModel {
  /// What was done, one line each.
  public let changes: [String]
  private let model: Model
  private let source: String

  init(_ model: Model, _ journal: [JournalEntry], source: String) {
    self.model = model
    self.source = source
    changes = journal.map(\.description)
  }

  /// Writes the model aside and renames it.
  ///
  /// - Throws: `QuantizerError` when an existing file was not written by onnxq and `replacingForeign` is false.
  public func write(to path: String, replacingForeign: Bool = false) throws(QuantizerError) {
    if !replacingForeign { try Overwriting.check(model: path) }
    try folding(path) { _ = try ModelEncoder.save(model, to: path) }
  }

  /// The model in wire form.
  public func encoded() throws(QuantizerError) -> [UInt8] { try folding(source) { try ModelEncoder.bytes(of: model) } }
}

/// Takes Q/DQ out of a model.
public enum Stripping {
  /// - Parameter original: the model that the constants come back from; without it they are dequantized.
  public static func run(_ path: String, original: String? = nil) throws(QuantizerError) -> RewrittenModel {
    try folding(path) {
      let model = try ModelDecoder.load(path: path)
      let source = try original.map { try ModelDecoder.load(path: $0) }
      if let source { model.backing += source.backing }
      let journal = try StripQDQ(original: source).run(on: model)
      return RewrittenModel(model, journal, source: path)
    }
  }
}
