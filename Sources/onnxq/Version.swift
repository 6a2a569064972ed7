import ONNXQuantizer

/// What `--version` prints.
enum Version {
  static var text: String { "onnxq \(Quantizer.version) (\(Quantizer.instructionSets.joined(separator: ", ")))" }
}
