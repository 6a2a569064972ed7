import ONNXTensor

#if canImport(Glibc)
  import Glibc
#endif

/// Conversion of elements from any type to any other by the rules of ONNX `Cast`.
///
/// Integers wrap; a float out of an integer's range saturates and NaN gives 0 (ONNX leaves both undefined). The float
/// types below 16 bits and the integers below 8 go through float32 and int64.
struct ElementCast {
  /// For float8: past the largest finite value the conversion gives that value, else infinity or NaN.
  var saturates = true
  /// For float8e8m0: "up", "down" or "nearest".
  var roundMode = "up"

  func apply(_ x: Tensor, to type: ElementType, pool: BufferPool? = nil) throws -> Tensor {
    if x.elementType == type { return x }
    if x.elementType == .string { return try parse(x, to: type) }
    if type == .string { return try print(x) }
    switch x.elementType {
    case .float32: return try from(Float.self, x, to: type, pool)
    case .float64: return try from(Double.self, x, to: type, pool)
    case .float16, .bfloat16: return try from(Float.self, x.widened(pool: pool), to: type, pool)
    case .uint8: return try fromInteger(UInt8.self, x, to: type, pool)
    case .int8: return try fromInteger(Int8.self, x, to: type, pool)
    case .uint16: return try fromInteger(UInt16.self, x, to: type, pool)
    case .int16: return try fromInteger(Int16.self, x, to: type, pool)
    case .uint32: return try fromInteger(UInt32.self, x, to: type, pool)
    case .int32: return try fromInteger(Int32.self, x, to: type, pool)
    case .uint64: return try fromInteger(UInt64.self, x, to: type, pool)
    case .int64: return try fromInteger(Int64.self, x, to: type, pool)
    case .bool:
      let codes = x.withBytes { bytes in bytes.map { $0 == 0 ? UInt8(0) : 1 } }
      return try fromInteger(UInt8.self, Tensor(codes, shape: x.shape), to: type, pool)
    case .int4, .uint4, .int2, .uint2:
      let values = (x.integers ?? []).map(Int64.init)
      return try fromInteger(Int64.self, Tensor(values, shape: x.shape), to: type, pool)
    case .complex64, .complex128, .string: throw unsupported(x.elementType)
    default:
      return try from(Float.self, Tensor(x.floats ?? [], shape: x.shape), to: type, pool)
    }
  }

  // MARK: From real numbers

  private func from<S: BinaryFloatingPoint & TensorElement>(
    _: S.Type, _ x: Tensor, to type: ElementType, _ pool: BufferPool?
  ) throws -> Tensor {
    if S.elementType == type { return x }
    switch type {
    case .float32: return map(x, S.self, Float.self, pool) { Float($0) }
    case .float64: return map(x, S.self, Double.self, pool) { Double($0) }
    case .float16: return map(x, S.self, Float16.self, pool) { Float16($0) }
    // Through odd rounding to float32, so that float64 rounds once.
    case .bfloat16: return map(x, S.self, BFloat16.self, pool) { BFloat16(Self.toOdd($0)) }
    case .uint8: return map(x, S.self, UInt8.self, pool) { Self.integer($0) }
    case .int8: return map(x, S.self, Int8.self, pool) { Self.integer($0) }
    case .uint16: return map(x, S.self, UInt16.self, pool) { Self.integer($0) }
    case .int16: return map(x, S.self, Int16.self, pool) { Self.integer($0) }
    case .uint32: return map(x, S.self, UInt32.self, pool) { Self.integer($0) }
    case .int32: return map(x, S.self, Int32.self, pool) { Self.integer($0) }
    case .uint64: return map(x, S.self, UInt64.self, pool) { Self.integer($0) }
    case .int64: return map(x, S.self, Int64.self, pool) { Self.integer($0) }
    case .bool: return map(x, S.self, UInt8.self, as: .bool, pool) { $0 == 0 ? 0 : 1 }
    case .int4, .uint4, .int2, .uint2:
      let codes = x.array(S.self).map { UInt8(truncatingIfNeeded: Self.integer($0) as Int64) }
      return Tensor(codes: codes, elementType: type, shape: x.shape)
    case .float8E8M0:
      return Tensor(codes: x.array(S.self).map { power(Self.toOdd($0)) }, elementType: type, shape: x.shape)
    default:
      guard let format = MinifloatFormat(type) else { throw unsupported(type) }
      let codes = x.array(S.self).map { format.encode(Self.toOdd($0), saturating: saturates) }
      return Tensor(codes: codes, elementType: type, shape: x.shape)
    }
  }

  private func fromInteger<S: FixedWidthInteger & TensorElement>(
    _: S.Type, _ x: Tensor, to type: ElementType, _ pool: BufferPool?
  ) throws -> Tensor {
    if S.elementType == type { return x }
    switch type {
    case .float32: return map(x, S.self, Float.self, pool) { Float($0) }
    case .float64: return map(x, S.self, Double.self, pool) { Double($0) }
    case .uint8: return map(x, S.self, UInt8.self, pool) { UInt8(truncatingIfNeeded: $0) }
    case .int8: return map(x, S.self, Int8.self, pool) { Int8(truncatingIfNeeded: $0) }
    case .uint16: return map(x, S.self, UInt16.self, pool) { UInt16(truncatingIfNeeded: $0) }
    case .int16: return map(x, S.self, Int16.self, pool) { Int16(truncatingIfNeeded: $0) }
    case .uint32: return map(x, S.self, UInt32.self, pool) { UInt32(truncatingIfNeeded: $0) }
    case .int32: return map(x, S.self, Int32.self, pool) { Int32(truncatingIfNeeded: $0) }
    case .uint64: return map(x, S.self, UInt64.self, pool) { UInt64(truncatingIfNeeded: $0) }
    case .int64: return map(x, S.self, Int64.self, pool) { Int64(truncatingIfNeeded: $0) }
    case .bool: return map(x, S.self, UInt8.self, as: .bool, pool) { $0 == 0 ? 0 : 1 }
    case .int4, .uint4, .int2, .uint2:
      return Tensor(
        codes: x.array(S.self).map { UInt8(truncatingIfNeeded: $0) }, elementType: type, shape: x.shape)
    default:
      return try from(Double.self, map(x, S.self, Double.self, pool) { Double($0) }, to: type, pool)
    }
  }

  private func map<S: TensorElement, D: TensorElement>(
    _ x: Tensor, _: S.Type, _: D.Type, as type: ElementType? = nil, _ pool: BufferPool?, _ convert: (S) -> D
  ) -> Tensor {
    x.withElements(S.self) { source in
      Tensor(of: D.self, as: type, shape: x.shape, pool: pool) { out in
        for index in source.indices { out[index] = convert(source[index]) }
      }
    }
  }

  /// Truncated; saturated out of range, 0 for NaN.
  @inline(__always)
  static func integer<S: BinaryFloatingPoint, I: FixedWidthInteger>(_ value: S) -> I {
    if let exact = I(exactly: value.rounded(.towardZero)) { return exact }
    if value.isNaN { return 0 }
    return value < 0 ? I.min : I.max
  }

  /// float32 with the last bit set where bits were lost: rounding it again to fewer bits is as rounding once.
  static func toOdd<S: BinaryFloatingPoint>(_ value: S) -> Float {
    let nearest = Float(value)
    guard S.self != Float.self, nearest.isFinite, S(nearest) != value else { return nearest }
    let truncated = S(nearest.magnitude) > value.magnitude ? nearest.magnitude.nextDown : nearest.magnitude
    let odd = Float(bitPattern: truncated.bitPattern | 1)
    return value < 0 ? -odd : odd
  }

  /// The code of float8e8m0, a power of two.
  private func power(_ value: Float) -> UInt8 {
    if value.isNaN || value.isInfinite { return value.isNaN || !saturates ? 0xFF : 0xFE }
    // The sign is lost.
    let bits = value.magnitude.bitPattern
    var exponent = Int(bits >> 23)
    let fraction = bits & 0x7F_FFFF
    switch roundMode {
    case "down": break
    case "nearest":
      // Half way rounds up; below the normal range 2^-127 has the fraction 0x400000.
      if exponent == 0 {
        exponent = fraction > 0x60_0000 ? 1 : 0
      } else if fraction >= 0x40_0000 {
        exponent += 1
      }
    default:
      if exponent == 0 { exponent = fraction > 0x40_0000 ? 1 : 0 } else if fraction > 0 { exponent += 1 }
    }
    return exponent > 254 ? (saturates ? 0xFE : 0xFF) : UInt8(exponent)
  }

  // MARK: Strings

  private func parse(_ x: Tensor, to type: ElementType) throws -> Tensor {
    let strings = (x.strings ?? []).map { String(decoding: $0, as: UTF8.self) }
    if type.isInteger || type == .bool {
      let values = try strings.map { text -> Int64 in
        let trimmed = Self.trimmed(text)
        if let value = Int64(trimmed) { return value }
        if let value = UInt64(trimmed) { return Int64(bitPattern: value) }
        return Self.integer(try Self.real(text))
      }
      return try fromInteger(Int64.self, Tensor(values, shape: x.shape), to: type, nil)
    }
    let values = try strings.map(Self.real)
    return try from(Double.self, Tensor(values, shape: x.shape), to: type, nil)
  }

  private static func trimmed(_ text: String) -> String {
    var view = Substring(text)
    while let first = view.first, first.isWhitespace { view.removeFirst() }
    while let last = view.last, last.isWhitespace { view.removeLast() }
    return String(view)
  }

  static func real(_ text: String) throws -> Double {
    let trimmed = trimmed(text)
    switch trimmed.lowercased() {
    case "inf", "+inf", "infinity", "+infinity": return .infinity
    case "-inf", "-infinity": return -.infinity
    case "nan", "+nan", "-nan": return .nan
    default:
      guard let value = Double(trimmed) else { throw OperatorError("'\(text)' is not a number") }
      return value
    }
  }

  private func print(_ x: Tensor) throws -> Tensor {
    let texts: [String]
    switch x.elementType {
    case .bool: texts = x.array(UInt8.self).map { $0 == 0 ? "False" : "True" }
    case .uint64: texts = x.array(UInt64.self).map(String.init)
    case .float64: texts = x.array(Double.self).map { Self.plain($0.description, $0) }
    case .float16: texts = x.array(Float16.self).map { Self.plain($0.description, Double($0)) }
    default:
      if x.elementType.isFloatingPoint {
        texts = (x.floats ?? []).map { Self.plain($0.description, Double($0)) }
      } else if let values = x.integers {
        texts = values.map(String.init)
      } else {
        throw unsupported(x.elementType)
      }
    }
    return Tensor(strings: texts.map { Array($0.utf8) }, shape: x.shape)
  }

  /// The shortest digits that give the value back, without an exponent where the value is between 1e-4 and 1e16.
  private static func plain(_ text: String, _ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    guard let mark = text.firstIndex(of: "e"), let exponent = Int(text[text.index(after: mark)...]) else { return text }
    var mantissa = String(text[..<mark])
    let isNegative = mantissa.hasPrefix("-")
    if isNegative { mantissa.removeFirst() }
    var digits = mantissa.filter { $0 != "." }
    if mantissa.hasSuffix(".0") { digits.removeLast() }
    let sign = isNegative ? "-" : ""
    if exponent >= 0 && exponent < 16 {
      let padded = digits + String(repeating: "0", count: max(0, exponent + 1 - digits.count))
      let whole = padded.prefix(exponent + 1)
      let fraction = padded.dropFirst(exponent + 1)
      return sign + whole + "." + (fraction.isEmpty ? "0" : String(fraction))
    }
    if exponent < 0 && exponent >= -4 {
      return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits
    }
    let head = digits.prefix(1) + (digits.count > 1 ? "." + digits.dropFirst() : "")
    return sign + head + (exponent < 0 ? "e-" : "e+") + (abs(exponent) < 10 ? "0" : "") + "\(abs(exponent))"
  }
}
