import ONNXTensor

/// The kind of grid that a target wants for a tensor.
package struct QuantizationScheme: Sendable, Hashable {
  /// int8, uint8, int16, uint16, int4, uint4, int2, uint2, int32, float8e4m3fn or float8e5m2.
  package var elementType: ElementType
  /// Zero point in the middle, scale from the largest magnitude.
  package var isSymmetric: Bool
  /// One bit less than the type has: what engines that add pairs of products in 16 bits need of weights.
  package var isReduced = false
  /// Scales are powers of two, rounded up.
  package var isPowerOfTwo = false
  /// A narrower range is widened upwards to this.
  package var smallestRange: Float = 0

  package init(_ elementType: ElementType, symmetric: Bool, reduced: Bool = false) {
    self.elementType = elementType
    isSymmetric = symmetric
    isReduced = reduced
  }

  package static let int8Symmetric = QuantizationScheme(.int8, symmetric: true)
  package static let int8Asymmetric = QuantizationScheme(.int8, symmetric: false)
  package static let uint8Asymmetric = QuantizationScheme(.uint8, symmetric: false)

  /// The codes that are used: all of the element type's, or those of one bit less; nil for types that are not quantized to.
  package var codes: ClosedRange<Int32>? {
    guard let all = Self.codes(of: elementType), isReduced else { return Self.codes(of: elementType) }
    // The signed ones are symmetric, as onnxruntime has them: -64…64.
    let half = all.upperBound / 2
    return all.lowerBound < 0 ? -(half + 1)...half + 1 : 0...half
  }

  /// The float type that values are rounded to instead of integers; such grids have no zero point.
  package static func format(of elementType: ElementType) -> MinifloatFormat? {
    elementType == .float8E4M3FN || elementType == .float8E5M2 ? MinifloatFormat(elementType) : nil
  }

  /// All codes of the element type; nil for types that are not quantized to.
  package static func codes(of elementType: ElementType) -> ClosedRange<Int32>? {
    switch elementType {
    case .int8: -128...127
    case .uint8: 0...255
    case .int16: -32768...32767
    case .uint16: 0...65535
    case .int4: -8...7
    case .uint4: 0...15
    case .int2: -2...1
    case .uint2: 0...3
    case .int32: Int32.min...Int32.max
    default: nil
    }
  }
}

/// A range of real values, both ends finite.
package struct ValueRange: Sendable, Equatable {
  package var lower: Float
  package var upper: Float

  package init(_ lower: Float, _ upper: Float) {
    self.lower = lower
    self.upper = upper
  }

  package var largestMagnitude: Float { max(lower.magnitude, upper.magnitude) }
}

/// Why no quantization can be derived.
package struct QuantizationError: Error, Equatable, CustomStringConvertible {
  package enum Code: Sendable {
    /// The tensor saw no data.
    case noData
    /// NaN or infinity among the data, or in a range.
    case nonFinite
    /// An element type that is not quantized to, or not from.
    case unsupportedType
    /// Sizes or axes that do not fit.
    case badShape
    /// An unknown or impossible option.
    case badOption
  }

  package let code: Code
  package let message: String

  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  package var description: String { message }
}
