/// The float formats of at most 8 bits, decoded and encoded by their definition (ONNX "Float stored in 8 bits", OCP MX).
package struct MinifloatFormat: Sendable {
  package let elementType: ElementType
  package let exponentBits: Int
  package let mantissaBits: Int
  package let bias: Int
  package let hasInfinity: Bool
  /// NaN is the code of negative zero and there is no negative zero (the FNUZ types).
  package let isUnsignedZero: Bool

  package init?(_ elementType: ElementType) {
    self.elementType = elementType
    (exponentBits, mantissaBits, bias, hasInfinity, isUnsignedZero) =
      switch elementType {
      case .float8E4M3FN: (4, 3, 7, false, false)
      case .float8E4M3FNUZ: (4, 3, 8, false, true)
      case .float8E5M2: (5, 2, 15, true, false)
      case .float8E5M2FNUZ: (5, 2, 16, false, true)
      case .float8E8M0: (8, 0, 127, false, false)
      case .float4E2M1: (2, 1, 1, false, false)
      case .float6E2M3: (2, 3, 1, false, false)
      case .float6E3M2: (3, 2, 3, false, false)
      default: (0, 0, 0, false, false)
      }
    if exponentBits == 0 { return nil }
  }

  private var signBit: UInt8 { elementType == .float8E8M0 ? 0 : 1 << UInt8(exponentBits + mantissaBits) }
  private var magnitudeMask: UInt8 { signBit == 0 ? 0xFF : signBit &- 1 }
  private var hasNaN: Bool { elementType.bitWidth == 8 && mantissaBits + exponentBits >= 7 }

  private func isNaN(_ code: UInt8) -> Bool {
    guard hasNaN else { return false }
    switch elementType {
    case .float8E8M0: return code == 0xFF
    case .float8E4M3FN: return code & 0x7F == 0x7F
    case .float8E5M2: return code & 0x7F > 0x7C
    default: return code == 0x80
    }
  }

  /// The largest finite value.
  package var largest: Float { decode(largestCode) }

  private var largestCode: UInt8 {
    switch elementType {
    case .float8E8M0: 0xFE
    case .float8E4M3FN: 0x7E
    case .float8E5M2: 0x7B
    default: magnitudeMask
    }
  }

  /// The exact value of `code`.
  package func decode(_ code: UInt8) -> Float {
    if isNaN(code) { return .nan }
    if elementType == .float8E8M0 { return Float(sign: .plus, exponent: Int(code) - 127, significand: 1) }
    let magnitude = code & magnitudeMask
    if hasInfinity && magnitude == 0x7C { return code & signBit == 0 ? .infinity : -.infinity }
    let exponent = Int(magnitude >> UInt8(mantissaBits))
    let mantissa = Int(magnitude) & ((1 << mantissaBits) - 1)
    let value =
      exponent == 0
      ? Float(sign: .plus, exponent: 1 - bias - mantissaBits, significand: Float(mantissa))
      : Float(sign: .plus, exponent: exponent - bias - mantissaBits, significand: Float(mantissa + (1 << mantissaBits)))
    return code & signBit == 0 ? value : -value
  }

  /// The nearest code, half to even. Past the largest finite value: that value if `saturating`, else infinity or NaN.
  package func encode(_ value: Float, saturating: Bool = true) -> UInt8 {
    let nan: UInt8 = elementType == .float8E8M0 ? 0xFF : isUnsignedZero ? 0x80 : hasInfinity ? 0x7E | 1 : 0x7F
    // Types without NaN have negative zero in its place.
    if value.isNaN { return hasNaN ? nan : signBit }
    if elementType == .float8E8M0 { return encodePower(value) }
    let sign: UInt8 = value.sign == .minus ? signBit : 0
    let overflow: UInt8 =
      saturating || !hasNaN ? largestCode | sign : hasInfinity ? 0x7C | sign : isUnsignedZero ? nan : nan | sign
    let magnitude = value.magnitude
    if magnitude == .infinity { return hasInfinity && !saturating ? 0x7C | sign : overflow }
    let exponent = magnitude == 0 ? 1 - bias : max(Int(magnitude.exponent), 1 - bias)
    // Exact: a power of two scales the significand into the range of the code.
    let scaled = Float(sign: .plus, exponent: mantissaBits - exponent, significand: magnitude)
    let steps = Int(scaled.rounded(.toNearestOrEven))
    let code = steps + ((exponent + bias - 1) << mantissaBits)
    if code > Int(largestCode) { return overflow }
    if code == 0 && isUnsignedZero { return 0 }
    return UInt8(code) | sign
  }

  private func encodePower(_ value: Float) -> UInt8 {
    guard value > 0 else { return 0 }
    guard value < .infinity else { return 0xFE }
    let exponent = Int(value.exponent)
    let up = value.significand > 1.5 || (value.significand == 1.5)
    return UInt8(min(max(exponent + (up ? 1 : 0) + 127, 0), 254))
  }
}
