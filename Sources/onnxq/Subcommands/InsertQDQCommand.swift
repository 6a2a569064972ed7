import ArgumentParser
import FoundationEssentials
import ONNXQuantizer

/// `onnxq insert-qdq`: a float model becomes one with explicit Q/DQ nodes.
struct InsertQDQCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "insert-qdq",
    abstract: "Writes the model with QuantizeLinear and DequantizeLinear nodes for a target (.qdq.onnx).",
    discussion: """
      Examples:
        onnxq insert-qdq model.onnx
        onnxq insert-qdq model.onnx --target onnxruntime --data calibration/ --explain
        onnxq insert-qdq model.onnx --weights int4 --block 32

      The statistics are those beside the model (model.calib), those of --calibration, or are collected from --data \
      on the way. Q/DQ nodes that the model has already are kept and completed. The same input gives the same bytes.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "The model; without it onnxq.yaml's, else the only .onnx here.")
  var model: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "The engine: \(Insertion.targets.joined(separator: ", ")), or a file that extends one. Default: tensorrt.",
      valueName: "name|file.yaml"))
  var target: String?

  @Option(help: ArgumentHelp("Statistics of the model.", valueName: "file"))
  var calibration: String?

  @Option(help: ArgumentHelp("Calibrate with this data first.", valueName: "path"))
  var data: String?

  @OptionGroup(title: "Preprocessing") var arguments: DataArguments

  @Option(
    help: ArgumentHelp(
      "The grid of activations where it is not the target's: a type (int8, uint8, int16, uint16, float8e4m3fn, float8e5m2) and words, as in int8,symmetric,power-of-two; --weights then says the grid of weights, as in int4,block=32 or int8,per-tensor,reduce-range.",
      valueName: "grid"))
  var activations: String?

  @OptionGroup(title: "Weights alone") var weightArguments: WeightArguments

  @Option(
    help: ArgumentHelp(
      "How ranges are chosen: minmax, percentile[:99.99], entropy, mse, auto. Default: minmax, or with --data what the outputs gain by; with --weights mse or rtn, default mse.",
      valueName: "method"))
  var method: String?

  @Option(
    help: ArgumentHelp(
      "Only what matches: a regular expression on names, op:TYPE, node:NAME, tensor:NAME, scope:NAME or between:A->B.",
      valueName: "selector"))
  var include: [String] = []

  @Option(help: ArgumentHelp("Not what matches.", valueName: "selector"))
  var exclude: [String] = []

  @Option(help: ArgumentHelp("Grids, methods and ranges of single tensors or operators.", valueName: "file.yaml"))
  var overrides: String?

  @Option(help: ArgumentHelp("Correct biases for the mean error of rounded weights.", valueName: "analytic|none"))
  var biasCorrection: BiasCorrection = .analytic

  @Option(
    help: ArgumentHelp(
      "Fold normalizations into weights, take identities out and make computed weights constants first.",
      valueName: "all|none"))
  var fold: Folding = .all

  @Option(
    help: ArgumentHelp(
      "Share of the multiply-accumulates that may run in float (16 bits for qnn) for the sake of tensors that 8 bits drown: by their statistics, or with --data by measured errors.",
      valueName: "percent|none"))
  var rescue = RescueBudget.standard

  @Option(
    help: ArgumentHelp("A tensor without usable statistics is an error, or stays float.", valueName: "error|float"))
  var missingData: MissingData = .error

  @Option(name: .shortAndLong, help: ArgumentHelp("Where the model goes; - is standard output.", valueName: "file"))
  var output: String?

  @Flag(help: "Say for every tensor and node what was decided and why.")
  var explain = false

  @Flag(help: "Decide and report, write nothing.")
  var dryRun = false

  @Flag(help: "Replace an existing file that onnxq did not write.")
  var force = false

  @Option(
    help: ArgumentHelp(
      "Operators between Q/DQ, or operators on integers (QLinearConv, QLinearMatMul, ...) for onnxruntime's targets.",
      valueName: "qdq|qoperator"))
  var quantFormat: QuantFormat = .qdq

  @Option(
    help: ArgumentHelp(
      "Compute what stays float in half precision; where the statistics say that float16 would overflow it stays float32.",
      valueName: "float16|bfloat16"))
  var highPrecision: String?

  @Option(
    help: ArgumentHelp(
      "The opset of the result. Default: the model's, raised to the lowest that the result needs.", valueName: "n"))
  var opset: Int?

  @Option(help: ArgumentHelp("Write the graph as text after each pass.", valueName: "folder"))
  var dumpIr: String?

  enum Folding: String, ExpressibleByArgument, CaseIterable { case all, none }

  enum QuantFormat: String, ExpressibleByArgument, CaseIterable { case qdq, qoperator }

  enum BiasCorrection: String, ExpressibleByArgument, CaseIterable { case analytic, none }

  /// `15`, `15%`, `none`; `auto` is the default.
  struct RescueBudget: ExpressibleByArgument, CustomStringConvertible {
    let share: Double?
    static let standard = RescueBudget(share: InsertionSettings().rescueBudget)

    init(share: Double?) { self.share = share }

    init?(argument: String) {
      switch argument {
      case "none": share = nil
      case "auto": self = .standard
      default:
        guard let percent = Double(argument.hasSuffix("%") ? String(argument.dropLast()) : argument),
          percent >= 0, percent <= 100
        else { return nil }
        share = percent / 100
      }
    }

    var description: String { share.map { "\($0 * 100)" } ?? "none" }
    var defaultValueDescription: String { "5" }
  }

  enum MissingData: String, ExpressibleByArgument, CaseIterable { case error, float }

  func run() throws {
    let configuration = try Configuration.load(common.config)
    let path = try ModelLocator.locate(model, configuration)
    let file = try ModelFile(path: path)
    let output = output ?? ModelLocator.sibling(of: path, ".qdq.onnx")
    let result: InsertionResult
    if activations == nil, weightArguments.isWeightOnly {
      result = try weightOnly(
        path, target: target ?? configuration.target, to: dryRun ? .nowhere : output == "-" ? .memory : .file(output))
    } else {
      result = try inserted(into: file, configuration)
    }
    if !dryRun {
      if output == "-" {
        try Terminal.write(result.encoded())
        return
      }
      try result.write(to: output, replacingForeign: force)
    }
    switch common.format {
    case .json: try JSON.print(result)
    case .text: Terminal.out(Self.text(result, output: dryRun ? nil : output, explain: explain))
    }
  }

  private func inserted(into file: ModelFile, _ configuration: Configuration) throws -> InsertionResult {
    let path = file.path
    var settings = InsertionSettings()
    settings.target = target ?? configuration.target ?? settings.target
    if settings.target.hasSuffix(".yaml") || settings.target.hasSuffix(".yml") {
      settings.targetFile = try SettingsFile.load(settings.target)
    }
    settings.overrides = try overrides.map { try SettingsFile.load($0) }
    settings.activations = activations
    if activations != nil {
      settings.weights = weightArguments.grid
      if weightArguments.dynamic { throw QuantizerError(.usage, "--dynamic has activations of its own: uint8") }
    }
    settings.method = method ?? configuration.method ?? settings.method
    settings.correctsBias = biasCorrection == .analytic
    settings.rescueBudget = rescue.share
    settings.toleratesMissingData = missingData == .float
    settings.folds = fold == .all
    settings.opset = opset
    settings.usesIntegerOperators = quantFormat == .qoperator
    settings.highPrecision = highPrecision
    settings.include = include
    settings.exclude = exclude
    let insertion = try Insertion(settings)
    let statistics = try statistics(of: file, configuration)
    let line = ProgressLine("measure", quiet: common.quiet)
    defer { line.finish() }
    let samples = data.map { data in
      Insertion.Samples(
        arguments.options(path: data, configuration: configuration), threads: common.threads,
        progress: { done, total in line.update(done, of: total) })
    }
    return try insertion.run(
      path, statistics: statistics, samples: samples, dump: dumpIr.map { folder in try dump(into: folder) })
  }

  private func statistics(of file: ModelFile, _ configuration: Configuration) throws -> CalibrationStatistics {
    if let calibration {
      if data != nil { throw QuantizerError(.usage, "--calibration and --data exclude each other") }
      return try CalibrationStatistics(path: calibration)
    }
    if let data {
      return try Calibrate.calibrate(
        file, arguments, path: data, configuration: configuration, shard: nil, skipBad: false, common: common,
        checkpoint: nil, resume: false
      ).statistics
    }
    let sibling = ModelLocator.sibling(of: file.path, ".calib")
    guard ModelLocator.exists(sibling) else {
      throw QuantizerError(
        .badInput,
        "no statistics: \(sibling) does not exist; run 'onnxq calibrate \(file.path) --data DIR' first, or give --data DIR here"
      )
    }
    return try CalibrationStatistics(path: sibling)
  }

  private func dump(into folder: String) throws -> (Int, String, String) throws -> Void {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw QuantizerError(.badInput, "\(folder): cannot be made")
    }
    return { number, pass, text in
      let path = "\(folder)/\(number < 10 ? "0" : "")\(number)-\(pass).onnxtxt"
      do {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
      } catch {
        throw QuantizerError(.badInput, "\(path): cannot be written")
      }
    }
  }

  static func text(_ result: InsertionResult, output: String?, explain: Bool) -> String {
    var lines: [String] = []
    if explain {
      for change in result.changes where !change.action.isEmpty {
        lines.append("\(change.subject): \(change.action) [\(change.rule)] \(change.reason)")
      }
      for decision in result.decisions {
        var what = "stays float"
        if let type = decision.elementType, let block = decision.blockSize {
          what = "\(type) in blocks of \(block) on axis \(decision.axis ?? 0)"
        } else if let scale = decision.scale, let type = decision.elementType {
          let parameters =
            scale.count == 1
            ? "scale \(scale[0]) zero point \(decision.zeroPoint?.first ?? 0)"
            : "\(scale.count) scales on axis \(decision.axis ?? 0)"
          what = "\(type) \(parameters)"
          if let method = decision.method { what += " (\(method))" }
        }
        lines.append("tensor \(decision.tensor): \(what) [\(decision.rule)] \(decision.reason)")
      }
      for node in result.outcomes {
        lines.append(
          "node \(node.name) \(node.opType): \(node.quantized ? "quantized" : "float") [\(node.rule)] \(node.reason)")
      }
      lines.append("")
    }
    lines.append("target \(result.target)")
    if result.unchanged {
      lines.append("nothing to insert: the model is copied as it is")
    } else {
      lines.append(
        "\(result.pairs) \(result.weights == nil ? "Q/DQ pairs" : "weights in integers"); \(result.nodes.quantized) nodes quantized, \(result.nodes.float) stay float"
      )
    }
    if let weights = result.weights {
      lines.append("\(weights.before) bytes of weights became \(weights.after)")
    }
    if let share = result.macs.share {
      let tenths = Int((share * 1000).rounded())
      lines.append("\(tenths / 10).\(tenths % 10) % of \(result.macs.total) MACs in quantized operators")
    }
    lines.append(output.map { "wrote \($0)" } ?? "nothing written (--dry-run)")
    return lines.joined(separator: "\n")
  }
}
