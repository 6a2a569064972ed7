/// The tables that records of other sections point into.
struct EngineScope {
  let strings: [String]
  let tensors: [EngineTensor]

  func optionalString(_ cursor: inout EngineCursor) throws(EngineFileError) -> String? {
    let index = try cursor.word()
    if index == EngineData.none { return nil }
    guard index < strings.count else { throw cursor.damaged("there is no string \(index)") }
    return strings[Int(index)]
  }

  func string(_ cursor: inout EngineCursor) throws(EngineFileError) -> String {
    guard let string = try optionalString(&cursor) else { throw cursor.damaged("a string is missing") }
    return string
  }

  func optionalSlot(_ cursor: inout EngineCursor, _ slotCount: Int) throws(EngineFileError) -> Int? {
    let index = try cursor.word()
    if index == EngineData.none { return nil }
    guard index < slotCount else { throw cursor.damaged("there is no slot \(index)") }
    return Int(index)
  }

  func slot(_ cursor: inout EngineCursor, _ slotCount: Int) throws(EngineFileError) -> Int {
    guard let slot = try optionalSlot(&cursor, slotCount) else { throw cursor.damaged("a slot is missing") }
    return slot
  }

  func tensor(_ cursor: inout EngineCursor) throws(EngineFileError) -> EngineTensor {
    let index = try cursor.word()
    guard index < tensors.count else { throw cursor.damaged("there is no tensor \(index)") }
    return tensors[Int(index)]
  }

  func field(_ cursor: inout EngineCursor) throws(EngineFileError) -> EngineField {
    switch try cursor.word() {
    case EngineField.intCode:
      var values: [Int64] = []
      for _ in 0..<(try cursor.count(ofAtLeast: 8)) { values.append(try cursor.int64()) }
      return .ints(values)
    case EngineField.floatCode:
      var values: [Float] = []
      for _ in 0..<(try cursor.count(ofAtLeast: 4)) { values.append(try cursor.float()) }
      return .floats(values)
    case EngineField.stringCode:
      var values: [String] = []
      for _ in 0..<(try cursor.count(ofAtLeast: 4)) { values.append(try string(&cursor)) }
      return .strings(values)
    case EngineField.tensorCode:
      var values: [EngineTensor] = []
      for _ in 0..<(try cursor.count(ofAtLeast: 4)) { values.append(try tensor(&cursor)) }
      return .tensors(values)
    case let code: throw cursor.damaged("a field has type \(code)")
    }
  }
}

extension [UInt8] {
  var hexadecimal: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
