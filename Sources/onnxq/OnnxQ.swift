import ArgumentParser

@main
struct OnnxQ: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "onnxq", abstract: "Quantizes ONNX models and proves the result.")
}
