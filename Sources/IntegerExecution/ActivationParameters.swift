import CKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import QuantCore

/// Scale and zero point of an 8-bit activation, in the biased form that the kernels hold: an int8 value q is kept as the
/// byte q + 128 and its zero point is raised likewise, so `real = (byte - zero) · scale` for both types.
struct ActivationParameters: Hashable {
  let scale: Float
  let zero: Int32
  let isSigned: Bool

  var elementType: ElementType { isSigned ? .int8 : .uint8 }

  init(scale: Float, zeroPoint: Int32, isSigned: Bool) {
    self.scale = scale
    self.zero = zeroPoint + (isSigned ? 128 : 0)
    self.isSigned = isSigned
  }

  /// The byte of a real value under QuantizeLinear's rule.
  func quantize(_ value: Float) -> UInt8 {
    let ratio = value / scale
    guard !ratio.isNaN else { return UInt8(clamping: zero) }
    let rounded = ratio.rounded(.toNearestOrEven)
    return UInt8(min(max(rounded + Float(zero), 0), 255))
  }

  func dequantize(_ byte: UInt8) -> Float { Float(Int32(byte) - zero) * scale }
}

/// What a value is to be quantized to: parameters, and bounds in bytes that fused activations narrow.
struct QuantizationTarget: Hashable {
  var parameters: ActivationParameters
  var lowest: UInt8 = 0
  var highest: UInt8 = 255

  var output: IntegerOutput {
    IntegerOutput(zero: parameters.zero, lo: Int32(lowest), hi: Int32(highest))
  }

  /// The target of x where Clip(x, low, high) has this target: quantization is monotone, so bounds move through it.
  func clamped(low: Float?, high: Float?) -> QuantizationTarget {
    func bound(_ byte: UInt8) -> UInt8 { min(max(byte, lowest), highest) }
    var result = self
    if let high { result.highest = bound(parameters.quantize(high)) }
    if let low { result.lowest = bound(parameters.quantize(low)) }
    // Where the bounds cross, Clip gives the upper one.
    result.lowest = min(result.lowest, result.highest)
    return result
  }
}

/// Scale and zero points of a QuantizeLinear or DequantizeLinear node whose parameters are constants.
struct LinearQuantization {
  let elementType: ElementType
  let scales: [Float]
  let zeroPoints: [Int]
  /// nil for one scale.
  let axis: Int?

  /// Parameters of an 8-bit activation with one positive finite scale.
  var activation: ActivationParameters? {
    guard axis == nil, elementType == .int8 || elementType == .uint8, let scale = scales.first, scale > 0,
      scale.isFinite
    else { return nil }
    return ActivationParameters(scale: scale, zeroPoint: Int32(clamping: zeroPoints[0]), isSigned: elementType == .int8)
  }
}
