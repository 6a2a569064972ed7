import COnnx
import ONNXGraph
import ONNXTensor

// Reading the plain parts of protobuf-c's structs: absent text is NULL, lists are a pointer and a count.

func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

func binary(_ data: ProtobufCBinaryData) -> [UInt8] { Array(UnsafeBufferPointer(start: data.data, count: data.len)) }

func scalars<T>(_ pointer: UnsafeMutablePointer<T>?, _ count: Int) -> [T] {
  Array(UnsafeBufferPointer(start: pointer, count: count))
}

func texts(_ pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ count: Int) -> [String] {
  UnsafeBufferPointer(start: pointer, count: count).map { text($0) ?? "" }
}

/// The messages of a repeated field.
func messages<T>(
  _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?, _ count: Int
) -> [UnsafeMutablePointer<T>] {
  UnsafeBufferPointer(start: pointer, count: count).compactMap { $0 }
}

func present<T>(_ has: protobuf_c_boolean, _ value: T) -> T? { has != 0 ? value : nil }

func unknownFields(_ base: ProtobufCMessage) -> [UnknownField] {
  guard base.n_unknown_fields > 0 else { return [] }
  return UnsafeBufferPointer(start: base.unknown_fields, count: Int(base.n_unknown_fields)).map {
    UnknownField(
      tag: $0.tag, wireType: UInt8(truncatingIfNeeded: $0.wire_type.rawValue),
      bytes: Array(UnsafeBufferPointer(start: $0.data, count: $0.len)))
  }
}

/// A message in wire form.
func packed(_ message: UnsafeMutableRawPointer) -> [UInt8] {
  let base = message.assumingMemoryBound(to: ProtobufCMessage.self)
  let size = protobuf_c_message_get_packed_size(base)
  return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
    count = size == 0 ? 0 : protobuf_c_message_pack(base, buffer.baseAddress)
  }
}

func opaque(_ message: UnsafeMutableRawPointer) -> OpaqueMessage { OpaqueMessage(bytes: packed(message)) }

/// The fields of a message in wire form, one by one; empty if the bytes are no message.
func wireFields(_ bytes: [UInt8]) -> [UnknownField] {
  var fields: [UnknownField] = []
  var position = 0
  func varint() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard position < bytes.count else { return nil }
      let byte = bytes[position]
      position += 1
      if shift < 64 { value |= UInt64(byte & 0x7F) << shift }
      if byte < 0x80 { return value }
    }
    return nil
  }
  while position < bytes.count {
    guard let key = varint() else { return [] }
    let start = position
    switch key & 7 {
    case 0: guard varint() != nil else { return [] }
    case 1: position += 8
    case 5: position += 4
    default:
      guard let length = varint(), length <= UInt64(bytes.count - position) else { return [] }
      position += Int(length)
    }
    guard position <= bytes.count else { return [] }
    fields.append(
      UnknownField(
        tag: UInt32(truncatingIfNeeded: key >> 3), wireType: UInt8(key & 7), bytes: Array(bytes[start..<position])))
  }
  return fields
}

func stringEntry(_ entry: UnsafeMutablePointer<Onnx__StringStringEntryProto>) -> StringEntry {
  var result = StringEntry(key: text(entry.pointee.key), value: text(entry.pointee.value))
  result.unknownFields = unknownFields(entry.pointee.base)
  return result
}

func stringEntries(
  _ pointer: UnsafeMutablePointer<UnsafeMutablePointer<Onnx__StringStringEntryProto>?>?, _ count: Int
) -> [StringEntry] {
  messages(pointer, count).map(stringEntry)
}

func opsetImport(_ entry: UnsafeMutablePointer<Onnx__OperatorSetIdProto>) -> OpsetImport {
  var result = OpsetImport(
    domain: text(entry.pointee.domain), version: present(entry.pointee.has_version, entry.pointee.version))
  result.unknownFields = unknownFields(entry.pointee.base)
  return result
}
