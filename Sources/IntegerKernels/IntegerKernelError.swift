/// A kernel refused its sizes, or memory was short.
package struct IntegerKernelError: Error, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
