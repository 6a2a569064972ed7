/// What is wrong with a model or an edit of it: what, where, and what to do.
package struct GraphError: Error, CustomStringConvertible {
  package enum Code: Sendable {
    case badTensor, badAttribute, badStructure, badPatch
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
