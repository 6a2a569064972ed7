import COnnx
import Glibc
import ONNXGraph
import ONNXTensor

/// Finds the bytes that `external_data` entries name, each file mapped once, nothing read.
///
/// A location is a relative path without `..`, and what it leads to lies, links followed, in the folder of the model
/// (or, where the model itself is a link, of the file that it links to).
final class ExternalDataReader {
  private let roots: [String]
  private let modelPath: String?
  private let policy: ModelDecoder.ExternalDataPolicy
  private var mappings: [String: (FileMapping, path: String)] = [:]
  private var mappingsByFile: [String: FileMapping] = [:]
  private(set) var tensors: [ModelSource.ExternalTensor] = []

  init(modelPath: String?, policy: ModelDecoder.ExternalDataPolicy) {
    self.modelPath = modelPath
    self.policy = policy
    var roots: [String] = []
    if let modelPath {
      roots += FilePath.resolved(FilePath.directory(of: modelPath)).map { [$0] } ?? []
      roots += FilePath.resolved(modelPath).map { [FilePath.directory(of: $0)] } ?? []
    }
    self.roots = roots
  }

  /// nil where the tensor's data stays unloaded by policy.
  func bytes(of literal: TensorLiteral) throws(ModelFormatError) -> ByteView? {
    guard policy != .ignored else { return nil }
    let name = literal.name ?? ""
    func entry(_ key: String) -> String? { literal.externalData.last { $0.key == key }?.value }
    guard let location = entry("location") else {
      throw fault("tensor '\(name)' is external but names no file")
    }
    let (mapping, path): (FileMapping, path: String)
    do throws(MapError) {
      (mapping, path) = try map(location, tensor: name)
    } catch {
      if policy == .ifPresent && error.isMissing { return nil }
      throw error.error
    }
    let size = mapping.bytes.count
    let offset = try number(entry("offset"), "offset", name) ?? 0
    let expected = literal.elementCount.flatMap { literal.elementType?.rawByteCount(elements: $0) }
    let stated = try number(entry("length"), "length", name)
    guard offset <= size else {
      throw fault("tensor '\(name)' begins at byte \(offset) of '\(location)', which has \(size)")
    }
    let length = stated ?? min(expected ?? size - offset, size - offset)
    guard length <= size - offset, (expected ?? length) <= size - offset else {
      throw fault(
        "tensor '\(name)' needs \(max(length, expected ?? 0)) bytes from byte \(offset) of '\(location)', "
          + "which has \(size)")
    }
    let view = ByteView(
      UnsafeRawBufferPointer(rebasing: mapping.bytes[offset..<offset + length]), owner: mapping)
    tensors.append(
      .init(
        tensor: name, location: location, offset: entry("offset"), length: entry("length"), path: path, bytes: view))
    return view
  }

  private func number(_ text: String?, _ what: String, _ tensor: String) throws(ModelFormatError) -> Int? {
    guard let text, !text.isEmpty else { return nil }
    guard let value = Int(text), value >= 0, !text.hasPrefix("+") else {
      throw fault("tensor '\(tensor)' has the \(what) '\(text)', which is no number of bytes")
    }
    return value
  }

  private struct MapError: Error {
    let error: ModelFormatError
    var isMissing = false
  }

  private func map(_ location: String, tensor: String) throws(MapError) -> (FileMapping, path: String) {
    if let known = mappings[location] { return known }
    guard let modelPath else {
      throw MapError(
        error: fault("tensor '\(tensor)' is in the file '\(location)', but the model was not read from a file"),
        isMissing: true)
    }
    let parts = location.split(separator: "/", omittingEmptySubsequences: false)
    guard !location.isEmpty, !location.hasPrefix("/"), !parts.contains("..") else {
      throw MapError(
        error: fault(
          "tensor '\(tensor)' names the data file '\(location)', which is not a path within the model's folder"))
    }
    let path = FilePath.join(FilePath.directory(of: modelPath), location)
    guard let resolved = FilePath.resolved(path) else {
      throw MapError(
        error: ModelFormatError(
          .externalData, "the data file '\(location)' of tensor '\(tensor)': \(String(cString: strerror(errno)))",
          at: modelPath, advice: "keep the model and its data files together"),
        isMissing: errno == ENOENT)
    }
    guard roots.contains(where: { FilePath.relative(resolved, beneath: $0) != nil }) else {
      throw MapError(
        error: fault("the data file '\(location)' of tensor '\(tensor)' is a link that leads out of the model's folder")
      )
    }
    do throws(ModelFormatError) {
      let mapping: FileMapping
      if let known = mappingsByFile[resolved] { mapping = known } else { mapping = try FileMapping(path: resolved) }
      mappings[location] = (mapping, resolved)
      mappingsByFile[resolved] = mapping
      return (mapping, resolved)
    } catch {
      throw MapError(
        error: ModelFormatError(
          .externalData, "the data file '\(location)' of tensor '\(tensor)': \(error.message)", at: modelPath))
    }
  }

  private func fault(_ message: String) -> ModelFormatError {
    ModelFormatError(.externalData, message, at: modelPath)
  }
}
