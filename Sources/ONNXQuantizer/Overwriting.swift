import Glibc
import IntegerExecution
import ONNXFormat
import ONNXGraph
import QuantCalibration
import QuantPasses

/// Files that onnxq did not write are not replaced unasked.
enum Overwriting {
  /// - Parameter source: a model of which an exact copy is to be written; a file that is that already loses nothing.
  static func check(model path: String, copyOf source: Model? = nil) throws(QuantizerError) {
    guard isFile(path) else { return }
    if let model = try? ModelDecoder.load(path: path) {
      if ProvenanceStamp(model) != nil { return }
      if let source, let identity = model.identity, identity == source.identity { return }
    }
    throw refusal(path)
  }

  static func check(statistics path: String) throws(QuantizerError) {
    guard isFile(path) else { return }
    if StatisticsFile.isStatistics(path: path) { return }
    throw refusal(path)
  }

  static func check(engine path: String) throws(QuantizerError) {
    guard isFile(path) else { return }
    if EngineFile.isEngine(path: path) { return }
    throw refusal(path)
  }

  /// A terminal, a pipe or `/dev/null` holds nothing that could be lost.
  private static func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && [S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT)
  }

  private static func refusal(_ path: String) -> QuantizerError {
    QuantizerError(.badInput, "\(path): exists and was not written by onnxq; give another --output, or --force")
  }
}
