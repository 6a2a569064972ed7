import CKernels

/// An integer that float tensors are quantized to by the kernels.
package protocol QuantizedElement: FixedWidthInteger, BitwiseCopyable, Sendable {
  static var quantType: ck_quant_type { get }
}

extension Int8: QuantizedElement { package static var quantType: ck_quant_type { CK_INT8 } }
extension UInt8: QuantizedElement { package static var quantType: ck_quant_type { CK_UINT8 } }
extension Int16: QuantizedElement { package static var quantType: ck_quant_type { CK_INT16 } }
extension UInt16: QuantizedElement { package static var quantType: ck_quant_type { CK_UINT16 } }

extension FloatBackend {
  /// q = saturate(round_half_even(x / scale[c]) + zero[c]) over x [outer][channels][inner]. NaN gives the zero point.
  package func quantize<Element: QuantizedElement>(
    outer: Int, channels: Int, inner: Int, _ x: UnsafeBufferPointer<Float>, scale: UnsafeBufferPointer<Float>,
    zeroPoint: UnsafeBufferPointer<Int32>?, into q: UnsafeMutableBufferPointer<Element>
  ) throws(KernelError) {
    let count = try check(outer, channels, inner, scale, zeroPoint)
    try require("quantize", "input", has: x.count, atLeast: count)
    try require("quantize", "output", has: q.count, atLeast: count)
    kernels.pointee.quantize(
      threads, Element.quantType, outer, channels, inner, x.baseAddress, scale.baseAddress, zeroPoint?.baseAddress,
      q.baseAddress)
  }

  /// x = float(q - zero[c]) * scale[c] over q [outer][channels][inner].
  package func dequantize<Element: QuantizedElement>(
    outer: Int, channels: Int, inner: Int, _ q: UnsafeBufferPointer<Element>, scale: UnsafeBufferPointer<Float>,
    zeroPoint: UnsafeBufferPointer<Int32>?, into x: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    let count = try check(outer, channels, inner, scale, zeroPoint)
    try require("dequantize", "input", has: q.count, atLeast: count)
    try require("dequantize", "output", has: x.count, atLeast: count)
    kernels.pointee.dequantize(
      threads, Element.quantType, outer, channels, inner, q.baseAddress, scale.baseAddress, zeroPoint?.baseAddress,
      x.baseAddress)
  }

  /// Quantizes to `Element` and back without storing the integers; the bits are those of the two calls.
  package func fakeQuantize<Element: QuantizedElement>(
    _ type: Element.Type, outer: Int, channels: Int, inner: Int, _ x: UnsafeBufferPointer<Float>,
    scale: UnsafeBufferPointer<Float>, zeroPoint: UnsafeBufferPointer<Int32>?,
    into y: UnsafeMutableBufferPointer<Float>
  ) throws(KernelError) {
    let count = try check(outer, channels, inner, scale, zeroPoint)
    try require("quantize", "input", has: x.count, atLeast: count)
    try require("quantize", "output", has: y.count, atLeast: count)
    kernels.pointee.fake_quantize(
      threads, Element.quantType, outer, channels, inner, x.baseAddress, scale.baseAddress, zeroPoint?.baseAddress,
      y.baseAddress)
  }

  private func check(
    _ outer: Int, _ channels: Int, _ inner: Int, _ scale: UnsafeBufferPointer<Float>,
    _ zeroPoint: UnsafeBufferPointer<Int32>?
  ) throws(KernelError) -> Int {
    let count = try elementCount("quantize", outer, channels, inner)
    try require("quantize", "scale", has: scale.count, atLeast: channels)
    if let zeroPoint { try require("quantize", "zero point", has: zeroPoint.count, atLeast: channels) }
    return count
  }
}
