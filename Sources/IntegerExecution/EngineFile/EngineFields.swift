import ONNXTensor

/// One named item of a step, as it is in the file: a reader can list the steps of kinds that it does not know.
package enum EngineField {
  case ints([Int64])
  case floats([Float])
  case strings([String])
  case tensors([EngineTensor])

  static let intCode: UInt32 = 1
  static let floatCode: UInt32 = 2
  static let stringCode: UInt32 = 3
  static let tensorCode: UInt32 = 4
}

/// A tensor of the data section, not read yet.
package struct EngineTensor {
  package let elementType: ElementType
  package let shape: [Int]
  /// From the beginning of the data section.
  package let offset: Int
  package let byteCount: Int
  /// A view of the mapped file, readable for 64 bytes past its end.
  package let tensor: Tensor
}

/// Collects what the sections share: strings and tensors, each once.
final class EngineTables {
  private(set) var strings: [String] = []
  private var stringIndex: [String: UInt32] = [:]
  private(set) var tensors: [Tensor] = []

  func index(_ string: String) -> UInt32 {
    if let known = stringIndex[string] { return known }
    let index = UInt32(truncatingIfNeeded: strings.count)
    stringIndex[string] = index
    strings.append(string)
    return index
  }

  func add(_ tensor: Tensor) throws(EngineFileError) -> UInt32 {
    guard tensor.strings == nil else {
      throw EngineFileError(.unwritable, "a tensor of strings cannot be stored in an engine")
    }
    tensors.append(tensor)
    return UInt32(truncatingIfNeeded: tensors.count - 1)
  }
}

/// Writes the fields of a step in order.
struct FieldWriter {
  let tables: EngineTables
  let operators: OperatorStore
  private(set) var bytes: [UInt8] = []
  private(set) var count = 0

  init(_ tables: EngineTables, _ operators: OperatorStore) {
    self.tables = tables
    self.operators = operators
  }

  private mutating func begin(_ name: String, _ code: UInt32, _ items: Int) {
    bytes.put(tables.index(name))
    bytes.put(code)
    bytes.put(word: items)
    count += 1
  }

  mutating func put(_ name: String, ints: [Int]) {
    begin(name, EngineField.intCode, ints.count)
    for value in ints { bytes.put(Int64(value)) }
  }
  mutating func put(_ name: String, int: Int) { put(name, ints: [int]) }
  mutating func put(_ name: String, flag: Bool) { put(name, ints: [flag ? 1 : 0]) }
  mutating func put(_ name: String, float: Float) {
    begin(name, EngineField.floatCode, 1)
    bytes.put(float)
  }
  mutating func put(_ name: String, string: String) {
    begin(name, EngineField.stringCode, 1)
    bytes.put(tables.index(string))
  }
  mutating func put(_ name: String, tensor: Tensor) throws(EngineFileError) {
    begin(name, EngineField.tensorCode, 1)
    bytes.put(try tables.add(tensor))
  }
}

/// Reads the fields of a step in the order in which they were written.
struct FieldReader {
  let location: String
  private let fields: [(name: String, field: EngineField)]
  private var position = 0
  /// The embedded operators, and which inputs of the step are constants.
  let operators: StoredOperators?
  let constants: [Tensor?]

  init(
    _ fields: [(name: String, field: EngineField)], at location: String, operators: StoredOperators?,
    constants: [Tensor?]
  ) {
    self.fields = fields
    self.location = location
    self.operators = operators
    self.constants = constants
  }

  func damaged(_ message: String) -> EngineFileError { EngineFileError(.damaged, message, at: location) }

  private mutating func next(_ name: String) -> EngineField? {
    guard position < fields.count, fields[position].name == name else { return nil }
    position += 1
    return fields[position - 1].field
  }

  /// The field that comes next where it has this name.
  func peek(_ name: String) -> EngineField? {
    position < fields.count && fields[position].name == name ? fields[position].field : nil
  }

  mutating func intsIfPresent(_ name: String) throws(EngineFileError) -> [Int]? {
    guard let field = next(name) else { return nil }
    guard case .ints(let values) = field else { throw damaged("'\(name)' is no list of integers") }
    return values.map { Int($0) }
  }

  mutating func ints(_ name: String, count: Int? = nil, in range: ClosedRange<Int>) throws(EngineFileError) -> [Int] {
    guard let values = try intsIfPresent(name) else { throw damaged("'\(name)' is missing") }
    guard count == nil || values.count == count, values.allSatisfy(range.contains) else {
      throw damaged("'\(name)' is \(values.prefix(8)), which cannot be")
    }
    return values
  }

  mutating func int(_ name: String, in range: ClosedRange<Int>) throws(EngineFileError) -> Int {
    try ints(name, count: 1, in: range)[0]
  }

  mutating func flag(_ name: String) throws(EngineFileError) -> Bool { try int(name, in: 0...1) == 1 }

  /// A finite number.
  mutating func float(_ name: String) throws(EngineFileError) -> Float {
    guard case .floats(let values)? = next(name), values.count == 1, values[0].isFinite else {
      throw damaged("'\(name)' is no finite number")
    }
    return values[0]
  }

  mutating func stringIfPresent(_ name: String) throws(EngineFileError) -> String? {
    guard let field = next(name) else { return nil }
    guard case .strings(let values) = field, values.count == 1 else { throw damaged("'\(name)' is no string") }
    return values[0]
  }

  mutating func string(_ name: String) throws(EngineFileError) -> String {
    guard let value = try stringIfPresent(name) else { throw damaged("'\(name)' is missing") }
    return value
  }

  mutating func tensorIfPresent(
    _ name: String, _ type: ElementType, shape: [Int]? = nil
  ) throws(EngineFileError) -> Tensor? {
    guard let field = next(name) else { return nil }
    guard case .tensors(let tensors) = field, tensors.count == 1 else { throw damaged("'\(name)' is no tensor") }
    let tensor = tensors[0].tensor
    guard tensor.elementType == type, shape == nil || tensor.shape == shape else {
      throw damaged(
        "'\(name)' is \(tensor.elementType.name)\(tensor.shape), not \(type.name)\(shape.map { "\($0)" } ?? "")")
    }
    return tensor
  }

  mutating func tensor(_ name: String, _ type: ElementType, shape: [Int]? = nil) throws(EngineFileError) -> Tensor {
    guard let tensor = try tensorIfPresent(name, type, shape: shape) else { throw damaged("'\(name)' is missing") }
    return tensor
  }

  func finish() throws(EngineFileError) {
    guard position == fields.count else { throw damaged("'\(fields[position].name)' is not expected here") }
  }
}
