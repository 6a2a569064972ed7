/// A Swift type whose memory is one element of an ONNX tensor.
package protocol TensorElement: BitwiseCopyable, Sendable {
  /// The element type that `Tensor.init(_:shape:)` gives; storage of another type of the same width can be viewed too.
  static var elementType: ElementType { get }
}

extension Float: TensorElement { package static var elementType: ElementType { .float32 } }
extension Double: TensorElement { package static var elementType: ElementType { .float64 } }
extension Float16: TensorElement { package static var elementType: ElementType { .float16 } }
extension Int8: TensorElement { package static var elementType: ElementType { .int8 } }
extension UInt8: TensorElement { package static var elementType: ElementType { .uint8 } }
extension Int16: TensorElement { package static var elementType: ElementType { .int16 } }
extension UInt16: TensorElement { package static var elementType: ElementType { .uint16 } }
extension Int32: TensorElement { package static var elementType: ElementType { .int32 } }
extension UInt32: TensorElement { package static var elementType: ElementType { .uint32 } }
extension Int64: TensorElement { package static var elementType: ElementType { .int64 } }
extension UInt64: TensorElement { package static var elementType: ElementType { .uint64 } }
extension Bool: TensorElement { package static var elementType: ElementType { .bool } }
extension BFloat16: TensorElement { package static var elementType: ElementType { .bfloat16 } }

/// The upper half of an IEEE binary32.
package struct BFloat16: Sendable, BitwiseCopyable, Equatable {
  package var bitPattern: UInt16

  package init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// Rounds half to even; NaN stays NaN (quiet), values past the largest finite become infinity.
  package init(_ value: Float) {
    let bits = value.bitPattern
    if value.isNaN {
      bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x40
    } else {
      // 0x7FFF + lsb never carries out of 32 bits: the largest non-NaN pattern is 0xFF80_0000.
      bitPattern = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
  }

  package var float: Float { Float(bitPattern: UInt32(bitPattern) << 16) }
}
