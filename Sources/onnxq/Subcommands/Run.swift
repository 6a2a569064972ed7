import ArgumentParser
import ONNXQuantizer

/// `onnxq run`: a model's outputs as files.
struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs a model or an engine on inputs and writes its outputs as .npy files.",
    discussion: """
      Examples:
        onnxq run model.onnx --input x.npy --output-dir out
        onnxq run model.engine --data test/ --output-dir out

      --input takes FILE by position or NAME=FILE: .npy, .pb, or an .npz by its keys. With --data the outputs of all \
      samples are stacked along axis 0. The float executor runs the graph as written, which on a Q/DQ graph is fake \
      quantization; the integer executor lowers it first. An engine is run by the integer executor.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "The model; without it onnxq.yaml's, else the only .onnx here.")
  var model: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("An input; may be given several times.", valueName: "[name=]file"))
  var input: [String] = []

  @Option(help: ArgumentHelp("Run on every sample of this data instead.", valueName: "path"))
  var data: String?

  @OptionGroup(title: "Preprocessing") var arguments: DataArguments

  @Option(help: ArgumentHelp("Where the outputs go, one .npy each.", valueName: "folder"))
  var outputDir: String?

  @Flag(help: "Write all outputs into one outputs.npz.")
  var npz = false

  @Option(help: ArgumentHelp("The executor; by default integer for an engine, else float.", valueName: "float|integer"))
  var executor: Executor?

  @Option(parsing: .upToNextOption, help: ArgumentHelp("Values inside the graph to write as well.", valueName: "name"))
  var tensors: [String] = []

  enum Executor: String, ExpressibleByArgument, CaseIterable { case float, integer }

  struct Document: Encodable {
    struct Output: Encodable {
      let name: String
      let value: String
      let path: String?
    }
    let schema = "onnxq.run/1"
    let model: String
    let executor: String
    let outputs: [Output]
  }

  func run() throws {
    let configuration = try Configuration.load(common.config)
    let path = try ModelLocator.locate(model, configuration)
    let file = try ModelFile(runnable: path)
    let executor = executor ?? (file.isEngine ? .integer : .float)
    if data != nil, !input.isEmpty { throw QuantizerError(.usage, "--input and --data exclude each other") }
    var inference = Inference()
    inference.executor = executor == .integer ? .integer : .float
    inference.threads = common.threads
    inference.tensors = tensors
    let outputs: Inference.Outputs
    if let data {
      let line = ProgressLine("run", quiet: common.quiet)
      defer { line.finish() }
      outputs = try inference.run(file, data: arguments.options(path: data, configuration: configuration)) {
        line.update($0, of: $1)
      }
    } else {
      outputs = try inference.run(file, files: input)
    }
    if npz, outputDir == nil { throw QuantizerError(.usage, "--npz needs --output-dir") }
    let paths = try outputDir.map { folder in
      if npz {
        let path = try outputs.writeArchive(toFolder: folder)
        return outputs.names.map { _ in path }
      }
      return try outputs.write(toFolder: folder)
    }
    let rows = outputs.names.enumerated().map { index, name in
      Document.Output(name: name, value: outputs.summary(of: name), path: paths?[index])
    }
    switch common.format {
    case .json: try JSON.print(Document(model: path, executor: executor.rawValue, outputs: rows))
    case .text:
      for row in rows { Terminal.out("\(row.name)  \(row.value)" + (row.path.map { "  \($0)" } ?? "")) }
    }
  }
}
