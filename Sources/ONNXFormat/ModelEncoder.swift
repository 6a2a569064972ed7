import COnnx
import Glibc
import ONNXGraph
import ONNXTensor

/// Models to files, lossless: what the model was read from comes back field by field.
package enum ModelEncoder {
  package enum ExternalDataPolicy: Sendable {
    /// External weights stay in the source's data file; an output that cannot point to it is refused.
    case keep
    /// External weights go to a new data file beside the output.
    case copy
  }

  package struct Options: Sendable {
    package var externalData: ExternalDataPolicy
    /// A model that would be longer moves its large weights to a data file; protobuf ends at 2 GiB.
    package var longestFile: Int
    /// A data file beside the output that the model names already.
    package var ownData: String?

    package init(
      externalData: ExternalDataPolicy = .keep, longestFile: Int = Int(Int32.max), ownData: String? = nil
    ) {
      self.externalData = externalData
      self.longestFile = longestFile
      self.ownData = ownData
    }
  }

  package struct Written: Sendable {
    package let path: String
    package let byteCount: Int
    /// The data file that was written with it, `<file name>.<content hash>.data`.
    package let dataPath: String?
    /// Whether the model was as read, so that the file is the source's byte for byte.
    package let isCopy: Bool
  }

  /// Writes aside and renames: the data file first, then the model.
  @discardableResult
  package static func save(
    _ model: Model, to path: String, options: Options = Options()
  ) throws(ModelFormatError) -> Written {
    defer { withExtendedLifetime(model) {} }
    let tree = try ModelTree(model)
    let writer = ExternalDataWriter(tree: tree, source: model.source, outputPath: path)
    var isChanged = false
    var data: (path: String, isNew: Bool)?
    var payloads: [ExternalDataWriter.Payload] = []
    switch options.externalData {
    case .keep: isChanged = try writer.relocate(except: options.ownData)
    case .copy: payloads = try writer.externalPayloads()
    }
    if tree.packedSize > min(options.longestFile, Int(Int32.max)) { payloads += writer.movablePayloads() }
    if !payloads.isEmpty {
      data = try writer.write(payloads)
      isChanged = true
    }
    do {
      return try write(tree, model, to: path, isChanged: isChanged, dataPath: data?.path)
    } catch {
      if let data, data.isNew { unlink(data.path) }
      throw error
    }
  }

  private static func write(
    _ tree: ModelTree, _ model: Model, to path: String, isChanged: Bool, dataPath: String?
  ) throws(ModelFormatError) -> Written {
    guard tree.packedSize <= Int(Int32.max) else {
      throw ModelFormatError(
        .unwritable, "is longer than 2 GiB even with its weights in a data file", at: path)
    }

    let file = try AtomicFile(replacing: path)
    if !isChanged, let source = model.source, try tree.equals(source) {
      try FileMapping.stream(source.bytes) { (piece) throws(ModelFormatError) in try file.write(piece) }
      try file.commit()
      return Written(path: path, byteCount: source.bytes.count, dataPath: nil, isCopy: true)
    }
    let count = try tree.write(to: file.descriptor, path: path)
    try file.commit()
    return Written(path: path, byteCount: count, dataPath: dataPath, isCopy: false)
  }

  /// The model in wire form, external references as they stand.
  package static func bytes(of model: Model) throws(ModelFormatError) -> [UInt8] {
    defer { withExtendedLifetime(model) {} }
    let tree = try ModelTree(model)
    try checkSize(tree)
    return packed(tree.message)
  }

  /// Streams the model to an open file, external references as they stand.
  package static func write(_ model: Model, toDescriptor descriptor: Int32) throws(ModelFormatError) {
    defer { withExtendedLifetime(model) {} }
    let tree = try ModelTree(model)
    try checkSize(tree)
    _ = try tree.write(to: descriptor, path: "standard output")
  }

  private static func checkSize(_ tree: ModelTree) throws(ModelFormatError) {
    guard tree.packedSize <= Int(Int32.max) else {
      throw ModelFormatError(
        .unwritable, "a model longer than 2 GiB needs a data file", advice: "write it to a file")
    }
  }
}

extension ModelTree {
  var message: UnsafeMutablePointer<ProtobufCMessage> {
    UnsafeMutableRawPointer(root).assumingMemoryBound(to: ProtobufCMessage.self)
  }

  var packedSize: Int { protobuf_c_message_get_packed_size(message) }

  /// Returns the number of bytes written.
  func write(to descriptor: Int32, path: String) throws(ModelFormatError) -> Int {
    let mapping = (model.source?.bytes.owner as? FileMapping)?.bytes
    var count: UInt64 = 0
    let code = onnx_pack_to_descriptor(message, descriptor, mapping?.baseAddress, mapping?.count ?? 0, &count)
    if code != 0 { throw FileMapping.fault(path, code) }
    return Int(count)
  }

  /// Whether this is, field by field, what the source holds.
  func equals(_ source: ModelSource) throws(ModelFormatError) -> Bool {
    let original = try UnpackedMessage(onnx_model_type(), bytes: source.bytes, location: source.path)
    defer { withExtendedLifetime(original) {} }
    return onnx_messages_equal(message, original.root) != 0
  }

  /// Every TensorProto in the tree.
  func tensors() -> [UnsafeMutablePointer<Onnx__TensorProto>] {
    let count = onnx_collect_tensors(message, nil, 0)
    return [UnsafeMutablePointer<Onnx__TensorProto>?](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = min(count, onnx_collect_tensors(message, buffer.baseAddress, count))
    }.compactMap { $0 }
  }
}
