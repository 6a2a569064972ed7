import ArgumentParser
import ONNXQuantizer

/// `onnxq inspect`: what is in a file.
struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what a model or a statistics file holds; graphs in ONNX's textual syntax.",
    discussion: """
      Examples:
        onnxq inspect model.onnx
        onnxq inspect model.calib --format json

      Constants of more than 16 elements are shown by their size; --full prints them all.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "A model or .calib file.")
  var file: String

  @Flag(help: "Print every element of every constant.")
  var full = false

  func run() throws {
    if file.hasSuffix(".calib") {
      let report = try StatisticsReport(path: file)
      switch common.format {
      case .json: try JSON.print(report)
      case .text: Terminal.out(report.text)
      }
      return
    }
    let model = try ModelFile(path: file)
    switch common.format {
    case .json: try JSON.print(model.summary)
    case .text: Terminal.out(model.text(full: full))
    }
  }
}
