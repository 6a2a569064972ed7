import COnnx
import Glibc
import ONNXTensor

/// A file mapped for reading, until the last view of it is gone.
///
/// The mapping is of the file as it was opened: a rename over the path leaves it alone, as onnxq's own writers do.
package final class FileMapping: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer
  package let path: String

  package init(path: String) throws(ModelFormatError) {
    self.path = path
    // Not to hang on a named pipe.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.fault(path, errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.fault(path, errno) }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR: throw ModelFormatError(.file, "is a folder, not a file", at: path)
    default: throw ModelFormatError(.file, "is not a regular file", at: path)
    }
    let size = Int(status.st_size)
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
      throw Self.fault(path, errno)
    }
    bytes = UnsafeRawBufferPointer(start: base, count: size)
  }

  deinit {
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }

  /// All of it; the view keeps the mapping.
  package var view: ByteView { ByteView(bytes, owner: self) }

  /// Gives `body` the bytes piece by piece; pieces of a file leave memory again, so that gigabytes pass through megabytes.
  static func stream(
    _ view: ByteView, _ body: (UnsafeRawBufferPointer) throws(ModelFormatError) -> Void
  ) throws(ModelFormatError) {
    let isMapped = view.owner is FileMapping
    var rest = view.bytes[...]
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(16 << 20))
      try body(piece)
      if isMapped { onnx_release_pages(piece.baseAddress, piece.count) }
      rest = rest.dropFirst(piece.count)
    }
  }

  static func fault(_ path: String, _ code: Int32) -> ModelFormatError {
    ModelFormatError(.file, String(cString: strerror(code)), at: path)
  }
}
