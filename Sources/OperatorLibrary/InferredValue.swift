import ONNXGraph
import ONNXTensor

/// What inference knows of a value: its type, and its elements where they are known (shapes are computed with these).
package struct InferredValue {
  package var type: ValueType
  package var constant: Tensor?

  package init(_ type: ValueType, constant: Tensor? = nil) {
    self.type = type
    self.constant = constant
  }

  /// A tensor; negative extents are unknown.
  package static func tensor(_ elementType: ElementType, _ shape: [Int]?) -> InferredValue {
    InferredValue(.tensor(elementType, shape))
  }

  package var elementType: ElementType? { type.elementType }
  package var staticShape: [Int]? { type.staticShape }
}
