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

  public let kind: Kind
  /// One line: what, where, what to do.
  public let message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message.split(whereSeparator: \.isNewline).joined(separator: " ")
  }

  public var description: String { message }
}
