import COnnx
import ONNXGraph
import ONNXTensor

/// A data file that grows tensor by tensor beside a model that is still to be written.
///
/// It is written aside and gets its name, `<model file>.<content hash>.data`, when it is finished; a run that ends before
/// leaves nothing.
package final class ExternalDataFile {
  /// What literals name until the content, and with it the name, is known.
  private static let pendingLocation = "\u{1A}onnxq"

  private let outputPath: String
  private var file: AtomicFile?
  private var hash = Sha256()
  private var position = 0
  private let zeros = [UInt8](repeating: 0, count: 4096)

  package init(besideModel path: String) throws(ModelFormatError) {
    outputPath = path
    onnx_map_large_blocks()
    file = try AtomicFile(replacing: path + ".data")
  }

  /// Writes the bytes and gives the literal that names them; `template` says the rest of it.
  package func append(_ bytes: ByteView, as template: TensorLiteral) throws(ModelFormatError) -> TensorLiteral {
    // Pages for what is worth mapping, cache lines for the rest.
    let alignment = bytes.count >= 65536 ? 4096 : 64
    let gap = (alignment - position % alignment) % alignment
    try write(ByteView(Array(zeros[..<gap])))
    let offset = position
    try write(bytes)
    var literal = template
    literal.raw = nil
    literal.external = nil
    literal.dataLocation = 1
    literal.externalData = [
      StringEntry(key: "location", value: Self.pendingLocation), StringEntry(key: "offset", value: String(offset)),
      StringEntry(key: "length", value: String(bytes.count)),
    ]
    return literal
  }

  private func write(_ bytes: ByteView) throws(ModelFormatError) {
    guard bytes.count > 0 else { return }
    try FileMapping.stream(bytes) { (piece) throws(ModelFormatError) in
      hash.update(piece)
      try file?.write(piece)
    }
    position += bytes.count
  }

  /// Moves external weights that lie elsewhere into this file.
  package func copyOtherData(of model: Model) throws(ModelFormatError) {
    for graph in model.graph.allGraphs {
      for item in graph.initializers where item.literal.isExternal && !Self.isPending(item.literal) {
        guard let bytes = item.literal.external else { continue }
        graph.replaceInitializer(item.value, with: try append(bytes, as: item.literal))
      }
    }
  }

  /// Gives the file its name, and that name to the model's literals. Returns it; nil for a file without content.
  package func finish(_ model: Model) throws(ModelFormatError) -> String? {
    guard position > 0 else {
      file = nil
      return nil
    }
    let name = "\(FilePath.name(of: outputPath)).\(hash.hexDigest().prefix(16)).data"
    guard let finished = file.take() else { return nil }
    try finished.commit(as: name)
    for graph in model.graph.allGraphs {
      for item in graph.initializers where Self.isPending(item.literal) {
        var literal = item.literal
        for index in literal.externalData.indices where literal.externalData[index].key == "location" {
          literal.externalData[index].value = name
        }
        graph.replaceInitializer(item.value, with: literal)
      }
    }
    return name
  }

  private static func isPending(_ literal: TensorLiteral) -> Bool {
    literal.isExternal && literal.externalData.contains { $0.key == "location" && $0.value == pendingLocation }
  }
}

extension TensorLiteral {
  /// Lets the pages of bytes that lie in a mapped file leave memory; they are read again when they are needed.
  package func releasePages() {
    guard let view = isExternal ? external : raw, view.owner is FileMapping else { return }
    onnx_release_pages(view.bytes.baseAddress, view.bytes.count)
  }
}
