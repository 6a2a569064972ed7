import FoundationEssentials
import ONNXQuantizer

/// Which model a command means when it names none: that of `onnxq.yaml`, else the only one in the folder.
enum ModelLocator {
  static func locate(_ given: String?, _ configuration: Configuration) throws -> String {
    if let given { return given }
    if let configured = configuration.model { return configured }
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: ".").sorted()
    } catch {
      throw QuantizerError(.badInput, "the current folder cannot be read: name the model")
    }
    let candidates = names.filter { $0.hasSuffix(".onnx") && !$0.hasSuffix(".qdq.onnx") }
    switch candidates.count {
    case 1: return candidates[0]
    case 0: throw QuantizerError(.usage, "no model named, and none (*.onnx) in this folder")
    default:
      throw QuantizerError(
        .usage, "several models in this folder, name one of them: \(candidates.joined(separator: ", "))")
    }
  }

  /// `folder/model.onnx` → `folder/model` + suffix; a `.qdq.onnx` counts as its source.
  static func sibling(of model: String, _ suffix: String) -> String {
    for ending in [".qdq.onnx", ".onnx", ".engine"] where model.hasSuffix(ending) {
      return model.dropLast(ending.count) + suffix
    }
    return model + suffix
  }

  static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}
