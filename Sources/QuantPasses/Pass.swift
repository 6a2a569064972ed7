import ONNXGraph

/// A rewriting of a model in place: all of it or, when it throws, nothing of it.
package protocol Pass {
  /// An imperative sentence in camel case; by default the name of the Swift type.
  static var name: String { get }
  /// Rewrites the model and says what was done and why.
  @discardableResult
  func run(on model: Model) throws -> [JournalEntry]
}

extension Pass {
  package static var name: String { String(describing: Self.self) }
}

/// Why a pass cannot do what it was asked to do.
package struct PassError: Error, CustomStringConvertible {
  package enum Code: Sendable {
    /// A selector or option that fits nothing.
    case badOption
    /// A tensor without usable statistics.
    case noStatistics
    /// A node that cannot be converted.
    case notConvertible
  }

  package let code: Code
  package let message: String
  package let advice: String?

  package init(_ code: Code, _ message: String, advice: String? = nil) {
    self.code = code
    self.message = message
    self.advice = advice
  }

  package var description: String { advice.map { "\(message); \($0)" } ?? message }
}

extension Node {
  /// The node's name, else its operator and first output: what messages call it.
  package var label: String {
    if let name, !name.isEmpty { return name }
    return "\(opType)(\(outputs.compactMap { $0?.name }.first ?? ""))"
  }

  var isStandard: Bool { canonicalDomain.isEmpty }

  func isStandard(_ types: String...) -> Bool { isStandard && types.contains(opType) }
}
