import ONNXTensor

/// Code that is written once for all ordered element types and compiled for each.
protocol NumericVisitor {
  associatedtype Result
  func visit<T: TensorElement & Comparable & Numeric>(_ type: T.Type, _ x: Tensor) throws -> Result
}

extension NumericVisitor {
  /// Visits with the type of `x`; float16 and bfloat16 as float32, bool as uint8.
  func callAsFunction(_ x: Tensor) throws -> Result {
    switch x.elementType {
    case .float32: try visit(Float.self, x)
    case .float64: try visit(Double.self, x)
    case .float16, .bfloat16: try visit(Float.self, x.widened())
    case .int8: try visit(Int8.self, x)
    case .uint8: try visit(UInt8.self, x)
    case .bool: try visit(UInt8.self, x.reinterpreted(as: .uint8))
    case .int16: try visit(Int16.self, x)
    case .uint16: try visit(UInt16.self, x)
    case .int32: try visit(Int32.self, x)
    case .uint32: try visit(UInt32.self, x)
    case .int64: try visit(Int64.self, x)
    case .uint64: try visit(UInt64.self, x)
    default: throw unsupported(x.elementType)
    }
  }
}

/// Numeric order in which NaN is above everything.
@inline(__always)
func isBelow<T: Comparable>(_ a: T, _ b: T) -> Bool {
  a < b || (b != b && a == a)
}
