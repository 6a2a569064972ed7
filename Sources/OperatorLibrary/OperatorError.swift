/// Why an operator cannot be prepared or run; the executor adds the node.
package struct OperatorError: Error, CustomStringConvertible {
  package let message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}
