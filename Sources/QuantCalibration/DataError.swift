import ONNXFormat

/// What is wrong with data, labels, preprocessing or a statistics file: what, where, and what to do.
package struct DataError: Error, CustomStringConvertible, Sendable {
  package enum Code: Sendable {
    /// The file system refuses, or there is nothing there.
    case file
    /// A file that is damaged or not of the kind that its name says.
    case damaged
    /// Good data that does not fit the model's inputs.
    case mismatch
    /// An option that makes no sense.
    case option
  }

  package let code: Code
  package let message: String
  /// The file, or the sample in it.
  package let location: String?
  package let advice: String?

  package init(_ code: Code, _ message: String, at location: String? = nil, advice: String? = nil) {
    self.code = code
    self.message = message
    self.location = location
    self.advice = advice
  }

  init(_ error: ModelFormatError) {
    self.init(error.code == .file ? .file : .damaged, error.message, at: error.location, advice: error.advice)
  }

  /// One line.
  package var description: String {
    let text = (location.map { "\($0): " } ?? "") + message + (advice.map { "; \($0)" } ?? "")
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
  }
}

func mapFile(_ path: String) throws(DataError) -> FileMapping {
  do {
    return try FileMapping(path: path)
  } catch {
    throw DataError(error)
  }
}
