import ONNXTensor

/// The header of an array in NumPy's `.npy` format.
struct NpyHeader: Equatable {
  var elementType: ElementType
  /// Bytes of one element in the file.
  var elementBytes: Int
  var isBigEndian: Bool
  /// Column-major order.
  var isFortran: Bool
  var shape: [Int]
  /// Where the elements begin.
  var dataOffset: Int

  var count: Int { shape.reduce(1, *) }
  var byteCount: Int { count * elementBytes }

  /// Reads the header at the start of `bytes`.
  ///
  /// - Throws: for other files, element types that no ONNX tensor has, and sizes that overflow.
  init(_ bytes: UnsafeRawBufferPointer, location: String) throws(DataError) {
    func damaged(_ message: String) -> DataError { DataError(.damaged, message, at: location) }
    guard bytes.count >= 10, bytes[0] == 0x93, bytes[1...5].elementsEqual("NUMPY".utf8) else {
      throw damaged("is not a NumPy array")
    }
    let length: Int
    let start: Int
    switch bytes[6] {
    case 1: (length, start) = (Int(bytes[8]) | Int(bytes[9]) << 8, 10)
    case 2, 3:
      guard bytes.count >= 12 else { throw damaged("is cut off in its header") }
      (length, start) = (Int(bytes[8]) | Int(bytes[9]) << 8 | Int(bytes[10]) << 16 | Int(bytes[11]) << 24, 12)
    default: throw damaged("is a NumPy array of format version \(bytes[6]), which this version does not know")
    }
    guard length <= bytes.count - start else { throw damaged("is cut off in its header") }
    dataOffset = start + length
    var fields = HeaderParser(bytes[start..<start + length])
    guard let header = fields.dictionary(), let description = header["descr"], let fortran = header["fortran_order"],
      let dimensions = header["shape"]
    else { throw damaged("has a header that cannot be read") }
    guard case .text(let type) = description, let parsed = Self.elementType(type) else {
      throw DataError(
        .mismatch, "holds elements of NumPy type \(description.text), which no ONNX tensor has", at: location,
        advice: "save it as float32, or as an integer type")
    }
    (elementType, elementBytes, isBigEndian) = parsed
    guard case .flag(let flag) = fortran, case .tuple(let extents) = dimensions else {
      throw damaged("has a header that cannot be read")
    }
    isFortran = flag
    shape = extents
    var size = elementBytes
    for extent in extents {
      // Axes of extent 0 are left out, so that no product of some of the axes overflows either.
      let (product, overflow) = size.multipliedReportingOverflow(by: max(extent, 1))
      if extent < 0 || overflow || product > Int.max / 4 { throw damaged("has an impossible shape \(extents)") }
      size = product
    }
  }

  private static func elementType(_ text: String) -> (ElementType, Int, Bool)? {
    let isBigEndian = text.hasPrefix(">")
    let type: ElementType
    switch text.drop(while: { "<>|=".contains($0) }) {
    case "f4": type = .float32
    case "f8": type = .float64
    case "f2": type = .float16
    case "u1": type = .uint8
    case "i1": type = .int8
    case "u2": type = .uint16
    case "i2": type = .int16
    case "u4": type = .uint32
    case "i4": type = .int32
    case "u8": type = .uint64
    case "i8": type = .int64
    case "b1": type = .bool
    default: return nil
    }
    return (type, type.bitWidth / 8, isBigEndian)
  }
}

/// The Python literal that a header is: a dictionary of strings, booleans and tuples of integers.
private struct HeaderParser {
  enum Field {
    case text(String)
    case flag(Bool)
    case tuple([Int])
    case other

    var text: String {
      switch self {
      case .text(let text): "'\(text)'"
      case .flag(let flag): "\(flag)"
      case .tuple(let tuple): "\(tuple)"
      case .other: "of a structure"
      }
    }
  }

  private var rest: Slice<UnsafeRawBufferPointer>

  init(_ bytes: Slice<UnsafeRawBufferPointer>) { rest = bytes }

  mutating func dictionary() -> [String: Field]? {
    guard take("{") else { return nil }
    var result: [String: Field] = [:]
    while !take("}") {
      guard let key = string(), take(":"), let field = field() else { return nil }
      result[key] = field
      if !take(",") {
        guard take("}") else { return nil }
        break
      }
    }
    return result
  }

  private mutating func field() -> Field? {
    skipSpace()
    switch rest.first {
    case UInt8(ascii: "'"), UInt8(ascii: "\""): return string().map { .text($0) }
    case UInt8(ascii: "T"): return word("True") ? .flag(true) : nil
    case UInt8(ascii: "F"): return word("False") ? .flag(false) : nil
    case UInt8(ascii: "("): return tuple().map { .tuple($0) }
    case UInt8(ascii: "["):
      // A structured type; what follows does not matter.
      rest = rest.drop { $0 != UInt8(ascii: "]") }.dropFirst()
      return .other
    default: return nil
    }
  }

  private mutating func tuple() -> [Int]? {
    guard take("(") else { return nil }
    var result: [Int] = []
    while !take(")") {
      skipSpace()
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      guard !digits.isEmpty, digits.count <= 18, let value = Int(String(decoding: digits, as: UTF8.self)) else {
        return nil
      }
      rest = rest.dropFirst(digits.count)
      // Python 2 wrote 3L.
      _ = take("L")
      result.append(value)
      if !take(",") {
        guard take(")") else { return nil }
        break
      }
    }
    return result.count <= 64 ? result : nil
  }

  private mutating func string() -> String? {
    skipSpace()
    guard let quote = rest.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { return nil }
    rest = rest.dropFirst()
    let body = rest.prefix { $0 != quote }
    guard body.count < rest.count else { return nil }
    rest = rest.dropFirst(body.count + 1)
    return String(decoding: body, as: UTF8.self)
  }

  private mutating func word(_ word: String) -> Bool {
    guard rest.starts(with: word.utf8) else { return false }
    rest = rest.dropFirst(word.utf8.count)
    return true
  }

  private mutating func take(_ character: Character) -> Bool {
    skipSpace()
    guard let wanted = character.asciiValue, rest.first == wanted else { return false }
    rest = rest.dropFirst()
    return true
  }

  private mutating func skipSpace() { rest = rest.drop { $0 == 32 || (9...13).contains($0) } }
}
