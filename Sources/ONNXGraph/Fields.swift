/// `StringStringEntryProto`: a key and a value, each possibly absent.
package struct StringEntry: Sendable {
  package var key: String?
  package var value: String?
  package var unknownFields: [UnknownField] = []

  package init(key: String?, value: String?) {
    self.key = key
    self.value = value
  }
}

/// A field that `onnx.proto` does not define, as it stood on the wire.
package struct UnknownField: Sendable, Equatable {
  package var tag: UInt32
  package var wireType: UInt8
  package var bytes: [UInt8]

  package init(tag: UInt32, wireType: UInt8, bytes: [UInt8]) {
    self.tag = tag
    self.wireType = wireType
    self.bytes = bytes
  }
}

/// A message that onnxq carries through without looking inside, in wire form.
package struct OpaqueMessage: Sendable, Equatable {
  package var bytes: [UInt8]
  package init(bytes: [UInt8]) { self.bytes = bytes }
}

/// `OperatorSetIdProto`.
package struct OpsetImport: Sendable {
  package var domain: String?
  package var version: Int64?
  package var unknownFields: [UnknownField] = []

  package init(domain: String?, version: Int64?) {
    self.domain = domain
    self.version = version
  }
}
