/// Bytes that are owned by another object (a file mapping, an array) and never written.
package struct ByteView: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer
  package let owner: AnyObject

  package init(_ bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    self.bytes = bytes
    self.owner = owner
  }

  package init(_ array: [UInt8]) {
    let storage = TensorStorage(byteCount: array.count)
    array.withUnsafeBytes {
      UnsafeMutableRawBufferPointer(start: storage.base, count: array.count).copyMemory(from: $0)
    }
    self.init(UnsafeRawBufferPointer(start: storage.base, count: array.count), owner: storage)
  }

  /// The bytes of a tensor, shared with it.
  package init(_ tensor: Tensor) {
    let storage = tensor.storage
    self.init(UnsafeRawBufferPointer(start: storage.base + tensor.byteOffset, count: tensor.byteCount), owner: storage)
  }

  package var count: Int { bytes.count }
}
