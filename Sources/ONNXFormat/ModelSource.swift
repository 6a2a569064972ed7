import ONNXGraph
import ONNXTensor

/// What a model was read from. Lives in `Model.backing`, as long as anything refers to the file's bytes.
package final class ModelSource: @unchecked Sendable {
  /// nil for a model decoded from memory.
  package let path: String?
  /// The file as it is.
  package let bytes: ByteView
  /// The external tensors in the order of the file.
  package internal(set) var externalTensors: [ExternalTensor] = []

  package struct ExternalTensor: Sendable {
    package let tensor: String
    /// As the model spells it.
    package let location: String
    package let offset: String?
    package let length: String?
    /// The data file, without links.
    package let path: String
    package let bytes: ByteView

    /// The `external_data` entry of this key.
    func entry(_ key: String) -> String? {
      switch key {
      case "location": location
      case "offset": offset
      case "length": length
      default: nil
      }
    }
  }

  init(path: String?, bytes: ByteView) {
    self.path = path
    self.bytes = bytes
  }
}

extension Model {
  package var source: ModelSource? { backing.lazy.compactMap { $0 as? ModelSource }.first }
}
