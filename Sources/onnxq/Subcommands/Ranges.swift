import ArgumentParser
import ONNXQuantizer

/// `onnxq ranges`: what a range method makes of the statistics.
struct Ranges: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows the range and grid that a method gives each tensor, with the expected SQNR; needs no model.",
    discussion: """
      Examples:
        onnxq ranges model.calib
        onnxq ranges model.calib --method entropy --target onnxruntime --format json
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "A .calib file.")
  var file: String

  @Option(help: ArgumentHelp("minmax, percentile[:99.99], entropy, mse, auto.", valueName: "method"))
  var method = "minmax"

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Whose grid: \(Insertion.targets.joined(separator: ", ")).", valueName: "name"))
  var target = "tensorrt"

  func run() throws {
    let statistics = try CalibrationStatistics(path: file)
    let report = try RangeReport(statistics, method: method, target: target)
    switch common.format {
    case .json: try JSON.print(report)
    case .text: Terminal.out(report.text)
    }
  }
}
