import IntegerKernels
import ONNXTensor
import QuantCore

/// Scale and zero point of a 16-bit tensor, in the graph's own codes.
struct SixteenBitParameters: Hashable {
  let scale: Float
  let zero: Int32
  let isSigned: Bool

  var elementType: ElementType { isSigned ? .int16 : .uint16 }
  var lowest: Int32 { isSigned ? -32768 : 0 }
  var highest: Int32 { isSigned ? 32767 : 65535 }
  /// The zero point of the codes as unsigned numbers.
  var raisedZero: Int32 { isSigned ? zero + 32768 : zero }

  /// The code of a real value under QuantizeLinear's rule.
  func quantize(_ value: Float) -> Int32 {
    let ratio = value / scale
    guard !ratio.isNaN else { return min(max(zero, lowest), highest) }
    return Int32(min(max(ratio.rounded(.toNearestOrEven) + Float(zero), Float(lowest)), Float(highest)))
  }
}

/// What a value is to be quantized to in 16 bits: parameters, and bounds that fused activations narrow.
struct SixteenBitTarget {
  let parameters: SixteenBitParameters
  private(set) var lowest: Int32
  private(set) var highest: Int32

  init(_ parameters: SixteenBitParameters) {
    self.parameters = parameters
    lowest = parameters.lowest
    highest = parameters.highest
  }

  var isWhole: Bool { lowest == parameters.lowest && highest == parameters.highest }
  var output: IntegerOutput { IntegerOutput(zero: parameters.zero, lo: lowest, hi: highest) }

  /// As `QuantizationTarget.clamped`.
  func clamped(low: Float?, high: Float?) -> SixteenBitTarget {
    func bound(_ code: Int32) -> Int32 { min(max(code, lowest), highest) }
    var result = self
    if let high { result.highest = bound(parameters.quantize(high)) }
    if let low { result.lowest = bound(parameters.quantize(low)) }
    result.lowest = min(result.lowest, result.highest)
    return result
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("output_zero", int: Int(parameters.zero))
    fields.put("output_signed", flag: parameters.isSigned)
    fields.put("output_bounds", ints: [Int(lowest), Int(highest)])
  }

  /// The scale is in the multipliers; a file does not say it again.
  init(_ fields: inout FieldReader) throws(EngineFileError) {
    let zero = Int32(try fields.int("output_zero", in: -32768...65535))
    let isSigned = try fields.flag("output_signed")
    self.init(SixteenBitParameters(scale: 1, zero: zero, isSigned: isSigned))
    let bounds = try fields.ints("output_bounds", count: 2, in: Int(lowest)...Int(highest))
    guard bounds[0] <= bounds[1] else { throw fields.damaged("'output_bounds' is \(bounds)") }
    lowest = Int32(bounds[0])
    highest = Int32(bounds[1])
  }
}

extension LinearQuantization {
  /// Parameters of a 16-bit activation with one positive finite scale.
  var sixteen: SixteenBitParameters? {
    guard axis == nil, elementType == .int16 || elementType == .uint16, let scale = scales.first, scale > 0,
      scale.isFinite
    else { return nil }
    return SixteenBitParameters(
      scale: scale, zero: Int32(clamping: zeroPoints[0]), isSigned: elementType == .int16)
  }
}

extension FixedPointMultiplier {
  /// left · right / divisor for accumulators beyond 32 bits: shifts go on to 94, where no accumulator below 2^62 times a
  /// multiplier reaches one half.
  static func extended(_ left: Float, times right: Float = 1, over divisor: Float) -> FixedPointMultiplier? {
    guard let m = FixedPointMultiplier(left, times: right, over: divisor) else { return nil }
    guard m.m0 == 0, left > 0, right > 0 else { return m }
    // Below 2^-32; a factor of 2^32 is exact on the greater of the two.
    let (great, small) = left > right ? (left, right) : (right, left)
    guard let scaled = FixedPointMultiplier(great * 0x1p32, times: small, over: divisor), scaled.m0 != 0 else {
      return .zero
    }
    return FixedPointMultiplier(m0: scaled.m0, shift: scaled.shift + 32)
  }
}
