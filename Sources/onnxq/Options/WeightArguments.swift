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

  @Flag(help: "Compute products with constant weights in integers, activations quantized as the model runs; no data.")
  var dynamic = false

  @Flag(help: "With --weights: the tables of Gather too.")
  var embeddings = false

  @Flag(help: "With --weights: copy untouched external data; else it stays in the source's data file.")
  var copyData = false

  /// The grid of weights beside quantized activations.
  var grid: String? {
    guard let block else { return weights }
    return [weights, "block=\(block)"].compactMap { $0 }.joined(separator: ",")
  }

  /// Whether nothing is taken from statistics.
  var isWeightOnly: Bool { weights != nil || dynamic }

  func validate() throws {
    if dynamic {
      if let weights, weights != "int8" { throw ValidationError("--dynamic has int8 weights, not \(weights)") }
      if block != nil || embeddings { throw ValidationError("--dynamic has one scale per channel and no embeddings") }
      return
    }
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
        .usage, "--weights and --dynamic read no statistics: leave --calibration and --data out")
    }
    if dumpIr != nil { throw QuantizerError(.usage, "--dump-ir is not available with --weights or --dynamic") }
    var settings = WeightOnlySettings()
    settings.target = target ?? settings.target
    settings.isDynamic = weightArguments.dynamic
    settings.elementType = weightArguments.weights ?? (weightArguments.dynamic ? "int8" : settings.elementType)
    settings.blockSize = weightArguments.block
    settings.method = method ?? settings.method
    settings.includesEmbeddings = weightArguments.embeddings
    settings.toleratesMissingData = missingData == .float
    settings.copiesData = weightArguments.copyData
    settings.opset = opset
    settings.include = include
    settings.exclude = exclude
    if let threads = common.threads { settings.threads = threads }
    return try WeightOnlyQuantization(settings).run(path, to: destination, replacingForeign: force)
  }
}
