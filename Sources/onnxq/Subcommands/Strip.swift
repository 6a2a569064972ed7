import ArgumentParser
import ONNXQuantizer

/// `onnxq strip`: a Q/DQ model becomes a float one again.
struct Strip: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Takes Q/DQ out of a model again.",
    discussion: """
      Examples:
        onnxq strip model.qdq.onnx -o model.float.onnx
        onnxq strip model.qdq.onnx --original model.onnx

      Pairs on activations vanish without a trace. Constants come back dequantized, or with --original exactly as that \
      model has them. Integer inputs and outputs of the graph keep their Q or DQ.
      """)

  struct Result: Encodable {
    let schema = "onnxq.strip/1"
    let model: String
    let output: String
    let changes: [String]
    enum CodingKeys: String, CodingKey { case schema, model, output, changes }
  }

  @OptionGroup var common: CommonOptions

  @Argument(help: "The model with Q/DQ.")
  var model: String

  @Option(help: ArgumentHelp("The model that constants are taken from.", valueName: "file"))
  var original: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where the model goes; default MODEL.stripped.onnx, - is standard output.", valueName: "file"))
  var output: String?

  @Flag(help: "Replace an existing file that onnxq did not write.")
  var force = false

  func run() throws {
    let stripped = try Stripping.run(model, original: original)
    if output == "-" {
      try Terminal.write(stripped.encoded())
      return
    }
    let target = output ?? ModelLocator.sibling(of: model, ".stripped.onnx")
    try stripped.write(to: target, replacingForeign: force)
    switch common.format {
    case .json: try JSON.print(Result(model: model, output: target, changes: stripped.changes))
    case .text: Terminal.out("\(stripped.changes.count) changes; wrote \(target)")
    }
  }
}
