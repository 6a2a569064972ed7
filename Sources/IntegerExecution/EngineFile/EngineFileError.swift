/// Why an engine file cannot be read or written: what, where, and what to do.
package struct EngineFileError: Error, CustomStringConvertible, Sendable {
  package enum Code: Sendable {
    /// The bytes are something else than an engine.
    case notEngine
    /// An engine, but damaged or cut off.
    case damaged
    /// A version or a step that this onnxq does not know.
    case unsupported
    /// A plan that cannot be stored.
    case unwritable
  }

  package let code: Code
  package let message: String
  /// The section, and within it the step or tensor.
  package let location: String?

  package init(_ code: Code, _ message: String, at location: String? = nil) {
    self.code = code
    self.message = message
    self.location = location
  }

  package var description: String {
    let place = location.map { "\($0): " } ?? ""
    let advice =
      switch code {
      case .damaged: "; the file is damaged or cut off: build it again with onnxq build"
      case .unsupported: "; build the engine again with this onnxq, or update onnxq"
      case .notEngine, .unwritable: ""
      }
    // Names come from files: control characters would break the line.
    let text = (place + message + advice).unicodeScalars.map {
      $0.properties.generalCategory == .control ? "\u{FFFD}" : $0
    }
    return String(String.UnicodeScalarView(text))
  }
}
