import ArgumentParser
import ONNXQuantizer

/// `onnxq merge`: statistics of shards become those of the whole.
struct Merge: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Merges statistics of one model over parts of the data; the result is that of one run over all of it.",
    discussion: """
      Examples:
        onnxq merge part1.calib part2.calib -o model.calib
        onnxq merge nightly/*.calib -o model.calib --format json

      Files of another model, of another preprocessing, or that hold the same samples twice are refused.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "Two or more .calib files.")
  var files: [String]

  @Option(name: .shortAndLong, help: ArgumentHelp("Where the merged statistics go.", valueName: "file"))
  var output: String

  @Flag(help: "Replace an existing file that onnxq did not write.")
  var force = false

  struct Document: Encodable {
    let schema = "onnxq.merge/1"
    let output: String
    let samples: Int
    let tensors: Int
    let statisticsSHA256: String

    enum CodingKeys: String, CodingKey {
      case schema, output, samples, tensors
      case statisticsSHA256 = "statistics_sha256"
    }
  }

  func validate() throws {
    if files.count < 2 { throw ValidationError("merge takes two or more files") }
  }

  func run() throws {
    var merged = try CalibrationStatistics(path: files[0])
    for file in files.dropFirst() { try merged.merge(CalibrationStatistics(path: file)) }
    try merged.write(to: output, replacingForeign: force)
    let document = Document(
      output: output, samples: merged.samples, tensors: merged.tensorCount, statisticsSHA256: merged.sha256)
    switch common.format {
    case .json: try JSON.print(document)
    case .text:
      Terminal.out("\(output): \(document.tensors) tensors, \(document.samples) samples of \(files.count) files")
    }
  }
}
