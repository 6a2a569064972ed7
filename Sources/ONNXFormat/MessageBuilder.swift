import COnnx
import ONNXGraph
import ONNXTensor

/// Builds protobuf-c messages in an arena; all of them go with the builder. Large payloads stay where they are.
final class MessageBuilder {
  private let arena: OpaquePointer

  init() throws(ModelFormatError) {
    guard let arena = onnx_arena_new(.max) else { throw Self.outOfMemory }
    self.arena = arena
  }

  deinit { onnx_arena_free(arena) }

  private static var outOfMemory: ModelFormatError { ModelFormatError(.unwritable, "does not fit in memory") }

  private func allocate<T>(_ type: T.Type, count: Int) throws(ModelFormatError) -> UnsafeMutablePointer<T> {
    let (size, overflow) = MemoryLayout<T>.stride.multipliedReportingOverflow(by: count)
    guard !overflow, let memory = onnx_arena_alloc(arena, size) else { throw Self.outOfMemory }
    return memory.bindMemory(to: T.self, capacity: count)
  }

  /// An empty message; `initialize` is the generated initializer.
  func message<T>(_ initialize: (UnsafeMutablePointer<T>?) -> Void) throws(ModelFormatError) -> UnsafeMutablePointer<T>
  {
    let message = try allocate(T.self, count: 1)
    initialize(message)
    return message
  }

  /// nil for absent text.
  func text(_ text: String?) throws(ModelFormatError) -> UnsafeMutablePointer<CChar>? {
    guard var text else { return nil }
    let count = text.utf8.count
    let copy = try allocate(CChar.self, count: count + 1)
    let hasNul = text.withUTF8 { utf8 in
      copy.withMemoryRebound(to: UInt8.self, capacity: count + 1) { target in
        if let base = utf8.baseAddress { target.update(from: base, count: count) }
        target[count] = 0
      }
      return utf8.contains(0)
    }
    guard !hasNul else {
      throw ModelFormatError(.unwritable, "the name or text '\(text)' contains a NUL character")
    }
    return copy
  }

  /// Empty text as absent.
  func nonEmptyText(_ text: String) throws(ModelFormatError) -> UnsafeMutablePointer<CChar>? {
    try self.text(text.isEmpty ? nil : text)
  }

  func texts(
    _ texts: [String]
  ) throws(ModelFormatError) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) {
    guard !texts.isEmpty else { return (0, nil) }
    let list = try allocate(UnsafeMutablePointer<CChar>?.self, count: texts.count)
    for (index, item) in texts.enumerated() { (list + index).initialize(to: try text(item)) }
    return (texts.count, list)
  }

  func scalars<T>(_ values: [T]) throws(ModelFormatError) -> (Int, UnsafeMutablePointer<T>?) {
    guard !values.isEmpty else { return (0, nil) }
    let list = try allocate(T.self, count: values.count)
    list.update(from: values, count: values.count)
    return (values.count, list)
  }

  /// A copy of the bytes.
  func binary(_ bytes: [UInt8]) throws(ModelFormatError) -> ProtobufCBinaryData {
    let (count, data) = try scalars(bytes)
    return ProtobufCBinaryData(len: count, data: data)
  }

  /// The bytes where they lie.
  func binary(viewing view: ByteView) -> ProtobufCBinaryData {
    let base = view.count == 0 ? nil : view.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    return ProtobufCBinaryData(len: view.count, data: base.map { UnsafeMutablePointer(mutating: $0) })
  }

  func binaries(_ items: [[UInt8]]) throws(ModelFormatError) -> (Int, UnsafeMutablePointer<ProtobufCBinaryData>?) {
    guard !items.isEmpty else { return (0, nil) }
    let list = try allocate(ProtobufCBinaryData.self, count: items.count)
    for (index, item) in items.enumerated() { (list + index).initialize(to: try binary(item)) }
    return (items.count, list)
  }

  func list<Element, T>(
    _ elements: [Element], _ make: (Element) throws(ModelFormatError) -> UnsafeMutablePointer<T>
  ) throws(ModelFormatError) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<T>?>?) {
    guard !elements.isEmpty else { return (0, nil) }
    let list = try allocate(UnsafeMutablePointer<T>?.self, count: elements.count)
    for (index, element) in elements.enumerated() { (list + index).initialize(to: try make(element)) }
    return (elements.count, list)
  }

  func unknown(_ fields: [UnknownField], _ base: inout ProtobufCMessage) throws(ModelFormatError) {
    guard !fields.isEmpty else { return }
    let list = try allocate(ProtobufCMessageUnknownField.self, count: fields.count)
    for (index, field) in fields.enumerated() {
      let data = try binary(field.bytes)
      (list + index).initialize(
        to: ProtobufCMessageUnknownField(
          tag: field.tag, wire_type: ProtobufCWireType(rawValue: UInt32(field.wireType)), len: data.len,
          data: data.data))
    }
    base.n_unknown_fields = UInt32(fields.count)
    base.unknown_fields = list
  }

  /// A message that was kept in wire form. `keeping` collects what its payloads point into.
  func message<T>(
    _ type: UnsafePointer<ProtobufCMessageDescriptor>?, from opaque: OpaqueMessage, as: T.Type,
    keeping unpacked: inout [UnpackedMessage]
  ) throws(ModelFormatError) -> UnsafeMutablePointer<T> {
    let message = try UnpackedMessage(type, bytes: ByteView(opaque.bytes), location: nil)
    unpacked.append(message)
    return message.root(as: T.self)
  }

  func entry(_ entry: StringEntry) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__StringStringEntryProto> {
    let message = try message(onnx__string_string_entry_proto__init)
    message.pointee.key = try text(entry.key)
    message.pointee.value = try text(entry.value)
    try unknown(entry.unknownFields, &message.pointee.base)
    return message
  }

  func entries(
    _ entries: [StringEntry]
  ) throws(ModelFormatError) -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<Onnx__StringStringEntryProto>?>?) {
    try list(entries) { (item) throws(ModelFormatError) in try entry(item) }
  }

  func opsetImport(
    _ entry: OpsetImport
  ) throws(ModelFormatError) -> UnsafeMutablePointer<Onnx__OperatorSetIdProto> {
    let message = try message(onnx__operator_set_id_proto__init)
    message.pointee.domain = try text(entry.domain)
    set(&message.pointee.has_version, &message.pointee.version, entry.version)
    try unknown(entry.unknownFields, &message.pointee.base)
    return message
  }

  func set<T>(_ has: inout protobuf_c_boolean, _ field: inout T, _ value: T?) {
    guard let value else { return }
    has = 1
    field = value
  }
}
