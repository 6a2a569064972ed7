import FoundationEssentials
import IntegerExecution
import ONNXFormat
import QuantCalibration
import QuantPasses

/// Files that onnxq did not write are not replaced unasked.
enum Overwriting {
  static func check(model path: String) throws(QuantizerError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    if let model = try? ModelDecoder.load(path: path), ProvenanceStamp(model) != nil { return }
    throw refusal(path)
  }

  static func check(statistics path: String) throws(QuantizerError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    if (try? StatisticsFile(path: path)) != nil { return }
    throw refusal(path)
  }

  static func check(engine path: String) throws(QuantizerError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    if EngineFile.isEngine(path: path) { return }
    throw refusal(path)
  }

  private static func refusal(_ path: String) -> QuantizerError {
    QuantizerError(.badInput, "\(path): exists and was not written by onnxq; give another --output, or --force")
  }
}
