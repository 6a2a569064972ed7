import ArgumentParser
import ONNXQuantizer

/// Options of `insert-qdq` that quantize without data.
struct WeightArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Store only the weights of MatMul and Gemm, in this type; needs no data. Activations stay float.",
      valueName: WeightOnlyQuantization.elementTypes.joined(separator: "|")))
  var weights: String?

  @Option(
    help: ArgumentHelp(
      "Weights along the axis of the sum that share a scale. Default: one scale per output channel.", valueName: "n"))
  var block: Int?

  @Flag(help: "With --weights: the tables of Gather too.")
  var embeddings = false

  @Flag(help: "With --weights: copy untouched external data; else it stays in the source's data file.")
  var copyData = false

  /// Whether weights alone are quantized.
  var isWeightOnly: Bool { weights != nil }

  func validate() throws {
    guard weights == nil else { return }
    if block != nil { throw ValidationError("--block belongs to --weights") }
    if embeddings { throw ValidationError("--embeddings belongs to --weights") }
    if copyData { throw ValidationError("--copy-data belongs to --weights") }
  }
}

extension InsertQDQCommand {
  /// The quantization that --weights asks for; nothing is written yet.
  func weightOnly(
    _ path: String, target: String?, to destination: WeightOnlyQuantization.Destination
  ) throws -> InsertionResult {
    if calibration != nil || data != nil {
      throw QuantizerError(
        .usage, "--weights stores weights alone and reads no statistics: leave --calibration and --data out")
    }
    if dumpIr != nil { throw QuantizerError(.usage, "--dump-ir is not available with --weights") }
    var settings = WeightOnlySettings()
    settings.target = target ?? settings.target
    settings.elementType = weightArguments.weights ?? settings.elementType
    settings.blockSize = weightArguments.block
    settings.method = method ?? settings.method
    settings.includesEmbeddings = weightArguments.embeddings
    settings.toleratesMissingData = missingData == .float
    settings.copiesData = weightArguments.copyData
    settings.include = include
    settings.exclude = exclude
    if let threads = common.threads { settings.threads = threads }
    return try WeightOnlyQuantization(settings).run(path, to: destination, replacingForeign: force)
  }
}
