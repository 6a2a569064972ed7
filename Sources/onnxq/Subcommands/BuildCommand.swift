import ArgumentParser
import ONNXQuantizer

/// `onnxq build`: a Q/DQ model becomes an engine.
struct BuildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "build",
    abstract: "Lowers a Q/DQ model to integer steps and writes them as an engine (.engine).",
    discussion: """
      Examples:
        onnxq build model.qdq.onnx
        onnxq build model.qdq.onnx -o model.engine --integer-only

      What has no integer form is stored as float operators inside the engine and listed; --integer-only refuses it. \
      The same model gives the same bytes on every machine; onnxq run and onnxq inspect read them.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "The Q/DQ model; without it the .qdq.onnx of the model that onnxq.yaml or the folder gives.")
  var model: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("Where the engine goes; - is standard output.", valueName: "file"))
  var output: String?

  @Flag(help: "Refuse a model of which a node stays float.")
  var integerOnly = false

  @Option(
    help: ArgumentHelp("How accumulators are rounded; float32 is as onnxruntime does.", valueName: "fixed|float32"))
  var rounding: BuildSettings.Rounding = .fixed

  @Flag(help: "Replace an existing file that onnxq did not write.")
  var force = false

  struct Document: Encodable {
    let result: BuildResult
    let output: String

    enum CodingKeys: String, CodingKey { case output }

    func encode(to encoder: any Encoder) throws {
      try result.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(output, forKey: .output)
    }
  }

  func run() throws {
    let configuration = try Configuration.load(common.config)
    let path = try model ?? ModelLocator.sibling(of: ModelLocator.locate(nil, configuration), ".qdq.onnx")
    var settings = BuildSettings()
    settings.integerOnly = integerOnly
    settings.rounding = rounding
    let result = try Build(settings).run(ModelFile(path: path))
    let output = output ?? ModelLocator.sibling(of: path, ".engine")
    if output == "-" {
      Terminal.write(result.encoded)
      return
    }
    try result.write(to: output, replacingForeign: force)
    switch common.format {
    case .json: try JSON.print(Document(result: result, output: output))
    case .text: Terminal.out("\(result.text)\nwrote \(output)")
    }
  }
}

extension BuildSettings.Rounding: ExpressibleByArgument {}
