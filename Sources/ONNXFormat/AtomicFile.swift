import COnnx
import Glibc

/// A file written beside its target and renamed over it: a run that is killed leaves the old file or the new one.
///
/// A target that exists and is no regular file (a terminal, `/dev/null`, a pipe) is written directly.
package struct AtomicFile: ~Copyable {
  package let path: String
  package let descriptor: Int32
  /// nil for a target that is written directly.
  private let temporary: String?
  private var isOpen = true

  package init(replacing path: String) throws(ModelFormatError) {
    // Through a link, the file it leads to is replaced, not the link.
    let target = FilePath.resolved(path) ?? path
    self.path = target
    var status = stat()
    let exists = stat(target, &status) == 0
    if exists && status.st_mode & S_IFMT == S_IFDIR {
      throw ModelFormatError(.file, "is a folder", at: path)
    }
    if exists && status.st_mode & S_IFMT != S_IFREG {
      let opened = open(target, O_WRONLY | O_CLOEXEC)
      guard opened >= 0 else { throw FileMapping.fault(path, errno) }
      descriptor = opened
      temporary = nil
      return
    }
    let prefix = FilePath.join(FilePath.directory(of: target), ".\(FilePath.name(of: target)).")
    var attempt = 0
    while true {
      let candidate = "\(prefix)\(getpid())-\(attempt).tmp"
      let opened = open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if opened >= 0 {
        descriptor = opened
        temporary = candidate
        break
      }
      guard errno == EEXIST, attempt < 1000 else { throw FileMapping.fault(path, errno) }
      attempt += 1
    }
    if exists { fchmod(descriptor, status.st_mode & 0o777) }
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(ModelFormatError) {
    try check(onnx_write_all(descriptor, bytes.baseAddress, bytes.count))
  }

  func check(_ code: Int32) throws(ModelFormatError) {
    if code != 0 { throw FileMapping.fault(path, code) }
  }

  /// To the disk and over the target, or over another name in the same folder.
  package consuming func commit(as name: String? = nil) throws(ModelFormatError) {
    guard let temporary else { return }
    guard fsync(descriptor) == 0 else { throw FileMapping.fault(path, errno) }
    let target = name.map { FilePath.join(FilePath.directory(of: path), $0) } ?? path
    guard rename(temporary, target) == 0 else { throw FileMapping.fault(target, errno) }
    isOpen = false
    close(descriptor)
    let directory = open(FilePath.directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }

  deinit {
    guard isOpen else { return }
    close(descriptor)
    if let temporary { unlink(temporary) }
  }
}
