/// Why a file cannot be read or written: what, where, and what to do.
package struct ModelFormatError: Error, CustomStringConvertible, Sendable {
  package enum Code: Sendable {
    /// The file system refuses.
    case file
    /// The bytes are something else than ONNX.
    case notONNX
    /// ONNX, but damaged or cut off.
    case damaged
    /// Accepting it could exhaust memory or the stack.
    case hostile
    /// External data is missing, out of bounds or outside the model's folder.
    case externalData
    /// The model cannot be represented in a file.
    case unwritable
  }

  package let code: Code
  package let message: String
  /// The file, and within it the field, node or tensor.
  package let location: String?
  package let advice: String?

  package init(_ code: Code, _ message: String, at location: String? = nil, advice: String? = nil) {
    self.code = code
    self.message = message
    self.location = location
    self.advice = advice
  }

  /// One line.
  package var description: String {
    let place = location.map { "\($0): " } ?? ""
    let remedy = advice.map { "; \($0)" } ?? ""
    return Self.printable(place + message + remedy)
  }

  /// Names come from files: control characters would break the line.
  private static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
  }
}
