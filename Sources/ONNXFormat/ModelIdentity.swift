import ONNXGraph

/// What makes a model the same model: its file and its external data, by content alone.
///
/// Without external data the hash is the SHA-256 of the file. With external data it is the SHA-256 of the file's digest
/// followed by the digest of each external tensor's bytes in the order of the file.
package struct ModelIdentity: Sendable, Hashable, CustomStringConvertible {
  /// Lower-case hexadecimal.
  package let sha256: String

  package init(sha256: String) { self.sha256 = sha256 }

  package init(_ source: ModelSource) {
    var file = Sha256(of: source.bytes)
    guard !source.externalTensors.isEmpty else {
      sha256 = file.hexDigest()
      return
    }
    struct Region: Hashable {
      let address: UnsafeRawPointer?
      let count: Int
    }
    var known: [Region: [UInt8]] = [:]
    var whole = Sha256()
    whole.update(file.digest())
    for tensor in source.externalTensors {
      let bytes = tensor.bytes.bytes
      let region = Region(address: bytes.baseAddress, count: bytes.count)
      let digest: [UInt8]
      if let seen = known[region] {
        digest = seen
      } else {
        var hash = Sha256(of: tensor.bytes)
        digest = hash.digest()
        known[region] = digest
      }
      whole.update(digest)
    }
    sha256 = whole.hexDigest()
  }

  package var description: String { sha256 }
}

extension Model {
  /// nil for a model that was made, not read. Reads all weights.
  package var identity: ModelIdentity? { source.map { ModelIdentity($0) } }
}
