import ArgumentParser
import FoundationEssentials
import Glibc
import ONNXQuantizer

/// `onnxq calibrate`: statistics of the activations on the user's data.
struct Calibrate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a model on data and writes the statistics of its activations (.calib).",
    discussion: """
      Examples:
        onnxq calibrate --data calibration/
        onnxq calibrate mobilenet.onnx --data pictures/ --preset imagenet-tf --limit 100

      Data is a folder of .npy files, of .npz files (arrays by input name), of pictures (JPEG, PNG) or of \
      test_data_set_N folders, one such file, or one array of an archive as file.npz:key. The file serves every \
      target and range method; shards of one data set merge exactly. Memory does not grow with the samples.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "The model; without it onnxq.yaml's, else the only .onnx here.")
  var model: String?

  @Option(help: ArgumentHelp("The calibration data.", valueName: "path"))
  var data: String?

  @OptionGroup(title: "Preprocessing") var arguments: DataArguments

  @Option(help: ArgumentHelp("Only part i of n of the samples; merge the files later.", valueName: "i/n"))
  var shard: String?

  @Flag(help: "Leave out files that cannot be read, and say which.")
  var skipBad = false

  @Flag(help: "Go on where an interrupted run of the same command stopped.")
  var resume = false

  @Option(name: .shortAndLong, help: ArgumentHelp("Where the statistics go.", valueName: "file"))
  var output: String?

  @Flag(help: "Replace an existing file that onnxq did not write.")
  var force = false

  struct Document: Encodable {
    let schema = "onnxq.calibrate/1"
    let model: String
    let output: String
    let samples: Int
    let skipped: [Calibration.Skipped]
    let tensors: Int
    let seconds: Double
    let cpuSeconds: Double
    let peakBytes: Int
    let statisticsSHA256: String

    enum CodingKeys: String, CodingKey {
      case schema, model, output, samples, skipped, tensors, seconds
      case cpuSeconds = "cpu_seconds"
      case peakBytes = "peak_bytes"
      case statisticsSHA256 = "statistics_sha256"
    }
  }

  func run() throws {
    let configuration = try Configuration.load(common.config)
    let path = try ModelLocator.locate(model, configuration)
    let file = try ModelFile(path: path)
    guard let data = data ?? configuration.data else {
      throw QuantizerError(.usage, "no data: give --data PATH with samples for \(file.inputs.map(\.name))")
    }
    let output = output ?? ModelLocator.sibling(of: path, ".calib")
    let start = ContinuousClock.now
    let outcome = try Self.calibrate(
      file, arguments, path: data, configuration: configuration, shard: shard, skipBad: skipBad, common: common,
      checkpoint: output + ".partial", resume: resume)
    var statistics = outcome.statistics
    try statistics.write(to: output, replacingForeign: force)
    unlink(output + ".partial")
    let usage = Resources.usage()
    let seconds = start.duration(to: .now)
    let document = Document(
      model: path, output: output, samples: statistics.samples, skipped: outcome.skipped,
      tensors: statistics.tensorCount,
      seconds: Double(seconds.components.seconds) + Double(seconds.components.attoseconds) * 1e-18,
      cpuSeconds: usage.cpuSeconds, peakBytes: usage.peakBytes, statisticsSHA256: statistics.sha256)
    switch common.format {
    case .json: try JSON.print(document)
    case .text:
      for item in document.skipped { common.note("left out \(item.name): \(item.reason)") }
      Terminal.out(
        """
        \(output): \(document.tensors) tensors, \(document.samples) samples of \(data)
        statistics \(document.statisticsSHA256.prefix(16))  \(Resources.text(document.seconds)) s, \
        \(document.peakBytes >> 20) MiB
        """)
    }
  }

  static func calibrate(
    _ file: ModelFile, _ arguments: DataArguments, path: String, configuration: Configuration, shard: String?,
    skipBad: Bool, common: CommonOptions, checkpoint: String?, resume: Bool
  ) throws -> Calibration.Outcome {
    var options = arguments.options(path: path, configuration: configuration)
    options.shard = shard
    options.skipsBad = skipBad
    var calibration = Calibration(options)
    calibration.threads = common.threads
    calibration.checkpoint = checkpoint
    calibration.resumes = resume
    // The run calls back on its own thread only.
    nonisolated(unsafe) let line = ProgressLine("calibrate", quiet: common.quiet)
    defer { line.finish() }
    return try calibration.run(file) { done, total in line.update(done, of: total) }
  }
}
