import ArgumentParser
import ONNXQuantizer

/// `onnxq inspect`: what is in a file.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what a model, an engine or a statistics file holds; graphs in ONNX's textual syntax.",
    discussion: """
      Examples:
        onnxq inspect model.onnx
        onnxq inspect model.onnx --types
        onnxq inspect model.calib --format json
        onnxq inspect model.engine --check

      Constants of more than 16 elements are shown by their size; --full prints them all. --types works out the type \
      and shape of every value; with json they are listed as "values". Of an engine every step \
      is listed with its multiplier, shift, layout and bytes; --check also reads all of it and compares the hashes.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "A model, .engine or .calib file.")
  var file: String

  @Flag(help: "Print every element of every constant.")
  var full = false

  @Flag(help: "Work out the type and shape of every value.")
  var types = false

  @Flag(help: "Compare the content of an engine with its hashes; exit code 1 when it has changed.")
  var check = false

  func run() throws {
    if EngineReport.isEngine(file) {
      let report = try EngineReport(path: file, checksContent: check)
      switch common.format {
      case .json: try JSON.print(report)
      case .text: Terminal.out(report.text)
      }
      if let changed = report.changed, !changed.isEmpty { throw Shortfall(lines: []) }
      return
    }
    if check { throw QuantizerError(.usage, "--check is for engines") }
    if file.hasSuffix(".calib") {
      let report = try StatisticsReport(path: file)
      switch common.format {
      case .json: try JSON.print(report)
      case .text: Terminal.out(report.text)
      }
      return
    }
    let model = try ModelFile(path: file)
    if types { try model.inferTypes() }
    switch common.format {
    case .json: try JSON.print(model.summary(listsValues: types))
    case .text: Terminal.out(model.text(full: full))
    }
  }
}
