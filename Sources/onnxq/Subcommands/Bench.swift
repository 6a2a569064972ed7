import ArgumentParser
import ONNXQuantizer

/// `onnxq bench`: latency and throughput.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures latency and throughput of a model or an engine.",
    discussion: """
      Examples:
        onnxq bench model.engine --threads 1
        onnxq bench model.onnx --shapes image=8x3x224x224 --seconds 10 --format json

      Inputs are random numbers of the model's shapes, or with --data the first sample. An unknown first axis is the \
      batch. One input is run over and over; the first run, in which weights are packed, is told apart.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "The model or engine; without it onnxq.yaml's, else the only .onnx here.")
  var model: String?

  @Option(
    parsing: .upToNextOption, help: ArgumentHelp("Extents of an input; may be several.", valueName: "name=1x3x224x224"))
  var shapes: [String] = []

  @Option(help: ArgumentHelp("Run on the first sample of this data instead.", valueName: "path"))
  var data: String?

  @OptionGroup(title: "Preprocessing") var arguments: DataArguments

  @Option(
    help: ArgumentHelp("The executor; by default integer for an engine, else float.", valueName: "float|integer"))
  var executor: Run.Executor?

  @Option(help: "The extent of an unknown first axis.")
  var batch = 1

  @Option(help: ArgumentHelp("Time of runs that are not counted.", valueName: "seconds"))
  var warmup = 0.2

  @Option(help: ArgumentHelp("Time of runs that are.", valueName: "seconds"))
  var seconds = 3.0

  @Option(help: "Seed of the random inputs.")
  var seed: UInt64 = 0

  func validate() throws {
    if !(1...1 << 20).contains(batch) { throw ValidationError("--batch takes 1 or more") }
    if !(0...3600).contains(warmup) || !(0...86400).contains(seconds) {
      throw ValidationError("--warmup takes 0 to 3600 seconds, --seconds 0 to 86400")
    }
  }

  func run() throws {
    let configuration = try Configuration.load(common.config)
    let path = try ModelLocator.locate(model, configuration)
    var benchmark = Benchmark()
    benchmark.executor = executor.map { $0 == .integer ? .integer : .float }
    benchmark.threads = common.threads
    benchmark.batch = batch
    benchmark.warmup = warmup
    benchmark.seconds = seconds
    benchmark.seed = seed
    benchmark.shapes = try extents()
    benchmark.data = data.map { arguments.options(path: $0, configuration: configuration) }
    let result = try benchmark.run(path)
    switch common.format {
    case .json: try JSON.print(result)
    case .text: Terminal.out(result.text)
    }
  }

  private func extents() throws -> [String: [Int]] {
    var result: [String: [Int]] = [:]
    for text in shapes {
      // Names may hold '='; extents do not.
      guard let place = text.lastIndex(of: "=") else {
        throw QuantizerError(.usage, "--shapes takes NAME=1x3x224x224, not '\(text)'")
      }
      let extents = text[text.index(after: place)...].split(separator: "x", omittingEmptySubsequences: false)
      let numbers = extents.compactMap { Int($0) }
      guard numbers.count == extents.count, numbers.allSatisfy({ $0 > 0 }) else {
        throw QuantizerError(.usage, "--shapes takes NAME=1x3x224x224, not '\(text)'")
      }
      result[String(text[..<place])] = numbers
    }
    return result
  }
}
