import ONNXGraph

/// Why a model cannot be run: the node or input at fault and what to do.
package struct ExecutionError: Error, CustomStringConvertible {
  package enum Code: Sendable {
    /// The caller's inputs do not fit the model.
    case badInput
    /// A node's operator has no kernel here.
    case unsupported
    /// A node failed on the values it met.
    case failed
  }

  package let code: Code
  package let message: String
  /// Label and op_type of the node at fault, innermost first.
  package let node: String?

  package init(_ code: Code, _ message: String, node: Node? = nil) {
    self.code = code
    self.message = message
    self.node = node.map { "\($0.label) [\($0.opType)]" }
  }

  package var description: String { node.map { "node \($0): \(message)" } ?? message }
}
