import FoundationEssentials

/// Texts that tests compare with, in `Tests/Goldens`. `ONNXQ_UPDATE_GOLDENS=1` writes them anew: read the difference
/// before committing it.
package enum Golden {
  /// nil where `text` is what the file holds; else what is wrong.
  package static func difference(_ text: String, _ name: String) throws -> String? {
    let path = "\(TestFiles.root)/Tests/Goldens/\(name).txt"
    if ProcessInfo.processInfo.environment["ONNXQ_UPDATE_GOLDENS"] == "1" {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      return nil
    }
    guard let data = FileManager.default.contents(atPath: path) else { return "\(path) is missing" }
    let expected = String(decoding: data, as: UTF8.self)
    if expected == text { return nil }
    let (old, new) = (expected.split(separator: "\n"), text.split(separator: "\n"))
    let line = zip(old, new).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(old.count, new.count)
    let (was, got) = (line < old.count ? old[line] : "(end)", line < new.count ? new[line] : "(end)")
    return "\(name) differs at line \(line + 1):\n  was \(was)\n  got \(got)"
  }
}
