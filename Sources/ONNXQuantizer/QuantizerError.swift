/// The one error that this library throws: what is wrong, where, and what to do.
public struct QuantizerError: Error, Sendable, CustomStringConvertible {
  /// Who has to act.
  public enum Kind: Sendable {
    /// The call makes no sense: contradictory or unknown options.
    case usage
    /// A file, the data or the model is not fit.
    case badInput
    /// A defect of onnxq itself.
    case internalError
  }

  /// Who has to act.
  public let kind: Kind
  /// One line: what, where, what to do.
  public let message: String

  /// An error with a message that is made one line.
  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message.split(whereSeparator: \.isNewline).joined(separator: " ")
  }

  /// The message.
  public var description: String { message }
}
