import COnnx
import Glibc
import ONNXGraph
import ONNXTensor

/// Settles, in a model's tree, where external data lies as seen from the file to be written.
struct ExternalDataWriter {
  let tree: ModelTree
  let source: ModelSource?
  let outputPath: String

  typealias TensorMessage = UnsafeMutablePointer<Onnx__TensorProto>
  typealias Payload = (tensor: TensorMessage, bytes: ByteView)

  /// Smaller ones stay in the model when weights move out.
  static let smallestMoved = 1024

  private struct Reference: Hashable {
    let location: String
    let offset: String?
    let length: String?

    init(_ entry: (String) -> String?) {
      location = entry("location") ?? ""
      offset = entry("offset")
      length = entry("length")
    }
  }

  private func reference(_ tensor: TensorMessage) -> Reference {
    let entries = messages(tensor.pointee.external_data, tensor.pointee.n_external_data)
    return Reference { key in entries.last { text($0.pointee.key) == key }.flatMap { text($0.pointee.value) } }
  }

  /// All tensors whose data is external, training graphs included.
  func externalTensors() -> [TensorMessage] {
    tree.tensors().filter { $0.pointee.data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL }
  }

  /// Makes locations relative to the folder of the output, but for `own`, which lies there. Returns whether any changed.
  func relocate(except own: String? = nil) throws(ModelFormatError) -> Bool {
    let tensors = externalTensors().filter { own == nil || reference($0).location != own }
    guard !tensors.isEmpty, let modelPath = source?.path else { return false }
    let sourceDirectory = FilePath.directory(of: modelPath)
    let target = FilePath.resolved(outputPath) ?? outputPath
    guard let outputDirectory = FilePath.resolved(FilePath.directory(of: target)) else {
      throw FileMapping.fault(outputPath, errno)
    }
    guard FilePath.resolved(sourceDirectory) != outputDirectory else { return false }
    var known: [String: String] = [:]
    for tensor in source?.externalTensors ?? [] { known[tensor.location] = tensor.path }
    for tensor in tensors {
      let location = reference(tensor).location
      let file = known[location] ?? FilePath.resolved(FilePath.join(sourceDirectory, location))
      guard let file, let relative = FilePath.relative(file, beneath: outputDirectory) else {
        throw ModelFormatError(
          .externalData,
          "the weights are in '\(location)' beside '\(modelPath)', which a model in another folder cannot point to",
          at: outputPath, advice: "write the model beside its source")
      }
      for entry in messages(tensor.pointee.external_data, tensor.pointee.n_external_data)
      where text(entry.pointee.key) == "location" {
        entry.pointee.value = try tree.builder.text(relative)
      }
    }
    return true
  }

  /// External tensors with their bytes, for copying.
  func externalPayloads() throws(ModelFormatError) -> [Payload] {
    var known: [Reference: ByteView] = [:]
    for tensor in source?.externalTensors ?? [] { known[Reference(tensor.entry)] = tensor.bytes }
    var result: [Payload] = []
    for tensor in externalTensors() {
      guard let bytes = known[reference(tensor)] else {
        throw ModelFormatError(
          .externalData, "the external data of tensor '\(text(tensor.pointee.name) ?? "")' was not loaded",
          at: outputPath)
      }
      result.append((tensor, bytes))
    }
    return result
  }

  /// Initializers that are large enough to move out of the model.
  func movablePayloads() -> [Payload] {
    tree.initializers.compactMap { tensor, raw in
      raw.flatMap { $0.count >= Self.smallestMoved ? (tensor, $0) : nil }
    }
  }

  /// Writes the payloads to one file beside the output, named by its content, and points the tensors to it.
  /// Returns the file's path, and whether there was no such file before.
  func write(_ payloads: [Payload]) throws(ModelFormatError) -> (path: String, isNew: Bool) {
    let file = try AtomicFile(replacing: outputPath + ".data")
    var hash = Sha256()
    var position = 0
    var places: [(offset: Int, length: Int)] = []
    let zeros = ByteView([UInt8](repeating: 0, count: 4096))
    for (_, bytes) in payloads {
      // Pages for what is worth mapping, cache lines for the rest.
      let alignment = bytes.count >= 65536 ? 4096 : 64
      let gap = (alignment - position % alignment) % alignment
      let padding = UnsafeRawBufferPointer(rebasing: zeros.bytes[..<gap])
      hash.update(padding)
      try file.write(padding)
      position += gap
      try FileMapping.stream(bytes) { (piece) throws(ModelFormatError) in
        hash.update(piece)
        try file.write(piece)
      }
      places.append((position, bytes.count))
      position += bytes.count
    }
    withExtendedLifetime(zeros) {}
    let directory = FilePath.directory(of: file.path)
    let name = "\(FilePath.name(of: outputPath)).\(hash.hexDigest().prefix(16)).data"
    let path = FilePath.join(directory, name)
    let isNew = access(path, F_OK) != 0
    try file.commit(as: name)
    for ((tensor, _), place) in zip(payloads, places) {
      tensor.pointee.has_raw_data = 0
      tensor.pointee.raw_data = ProtobufCBinaryData()
      tensor.pointee.has_data_location = 1
      tensor.pointee.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL
      (tensor.pointee.n_external_data, tensor.pointee.external_data) = try tree.builder.entries([
        StringEntry(key: "location", value: name),
        StringEntry(key: "offset", value: String(place.offset)),
        StringEntry(key: "length", value: String(place.length)),
      ])
    }
    return (path, isNew)
  }
}
