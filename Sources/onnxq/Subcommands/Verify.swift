import ArgumentParser
import ONNXQuantizer

/// `onnxq verify`: what quantization cost, and whether that is too much.
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compares float, fake-quantized and integer execution on data; exit code 1 when it falls short.",
    discussion: """
      Examples:
        onnxq verify
        onnxq verify model.onnx model.qdq.onnx --data test/ --labels labels.txt --max-drop 0.5

      Without any demand the outputs must reach 10 dB SQNR against float, and a classifier must keep 80 % of its \
      answers. Without --data, the data is onnxq.yaml's, else what calibrate was given. --reference holds the float \
      executor against outputs of another program (60 dB).
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "The float model; without it onnxq.yaml's, else the only .onnx here.")
  var model: String?

  @Argument(help: "Its Q/DQ form; MODEL.qdq.onnx by default.")
  var quantized: String?

  @Argument(help: "An engine built of it, which must give the same bytes as the Q/DQ model lowered anew.")
  var engine: String?

  @Option(help: ArgumentHelp("The data to compare on.", valueName: "path"))
  var data: String?

  @OptionGroup(title: "Preprocessing") var arguments: DataArguments

  @Option(help: ArgumentHelp("Classes of the samples: lines 'file,class', a .npy, or file.npz:key.", valueName: "file"))
  var labels: String?

  @Option(
    help: ArgumentHelp("Outputs of another program for the float model: .npy, or .npz by output.", valueName: "file"))
  var reference: String?

  @Option(help: ArgumentHelp("Least SQNR of each output.", valueName: "dB"))
  var minSqnr: Double?

  @Option(help: ArgumentHelp("Least cosine of each output.", valueName: "x"))
  var minCosine: Double?

  @Option(help: ArgumentHelp("Least share of samples with float's class.", valueName: "percent"))
  var minAgreement: Double?

  @Option(help: ArgumentHelp("Most points of top-1 accuracy lost; needs labels.", valueName: "points"))
  var maxDrop: Double?

  @Option(help: "How many of the worst tensors are printed.")
  var worst = 5

  func validate() throws {
    if worst < 0 { throw ValidationError("--worst takes 0 or more") }
  }

  func run() throws {
    let configuration = try Configuration.load(common.config)
    let path = try ModelLocator.locate(model, configuration)
    let float = try ModelFile(path: path)
    let reference = reference ?? configuration.verify?.reference
    let quantizedPath = quantized ?? ModelLocator.sibling(of: path, ".qdq.onnx")
    var pair: ModelFile?
    if quantized != nil || ModelLocator.exists(quantizedPath) {
      pair = try ModelFile(path: quantizedPath)
    } else if reference == nil {
      throw QuantizerError(
        .badInput, "\(quantizedPath) does not exist: run 'onnxq insert-qdq \(path)' first, or name the Q/DQ model")
    }
    let demandsLabels = labels ?? configuration.verify?.labels
    var run = VerificationRun(try options(path, configuration))
    run.labels = demandsLabels
    run.reference = reference
    run.threads = common.threads
    run.demands.minimumSQNR = minSqnr ?? configuration.verify?.minSqnr
    run.demands.minimumCosine = minCosine ?? configuration.verify?.minCosine
    run.demands.minimumAgreement = minAgreement ?? configuration.verify?.minAgreement
    run.demands.maximumDrop = maxDrop ?? configuration.verify?.maxDrop
    let line = ProgressLine("verify", quiet: common.quiet)
    let result: VerificationResult
    do {
      defer { line.finish() }
      result = try run.run(float, quantized: pair, engine: try engine.map { try ModelFile(runnable: $0) }) {
        done, total in line.update(done, of: total)
      }
    }
    switch common.format {
    case .json: try JSON.print(result)
    case .text: Terminal.out(result.text(worst: worst))
    }
    if !result.passed { throw Shortfall(lines: []) }
  }

  /// The data named, else that of the settings, else what `calibrate` was given.
  private func options(_ model: String, _ configuration: Configuration) throws -> DataOptions {
    let sibling = ModelLocator.sibling(of: model, ".calib")
    let statistics = ModelLocator.exists(sibling) ? try CalibrationStatistics(path: sibling) : nil
    guard let path = data ?? configuration.verifyData ?? configuration.data ?? statistics?.dataPath, !path.isEmpty
    else {
      throw QuantizerError(.usage, "no data: give --data PATH, or name it in onnxq.yaml")
    }
    if data == nil { common.note("onnxq: comparing on \(path)") }
    return arguments.options(path: path, configuration: configuration, recorded: statistics?.preprocessing)
  }
}
