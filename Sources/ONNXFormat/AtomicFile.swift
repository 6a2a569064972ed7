import COnnx
import Glibc

/// A file written beside its target and renamed over it: a run that is killed leaves the old file or the new one.
///
/// Where the file system knows files without a name, it gets its own at once, or where another file has that name, one only while
/// it is renamed, so that a killed run leaves nothing else either. A target that exists and is no regular file (a terminal, `/dev/null`, a pipe) is written directly.
package struct AtomicFile: ~Copyable {
  package let path: String
  package let descriptor: Int32
  /// nil for a target that is written directly.
  private let temporary: String?
  /// Whether `temporary` has yet to be given to the file.
  private let isNameless: Bool
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
      isNameless = false
      return
    }
    let nameless = Self.openNameless(in: FilePath.directory(of: target))
    if nameless >= 0 {
      descriptor = nameless
      temporary = Self.candidate(for: target, 0)
      isNameless = true
    } else {
      var attempt = 0
      var opened: Int32 = -1
      while opened < 0 {
        opened = open(Self.candidate(for: target, attempt), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        if opened >= 0 { break }
        guard errno == EEXIST, attempt < 1000 else { throw FileMapping.fault(path, errno) }
        attempt += 1
      }
      descriptor = opened
      temporary = Self.candidate(for: target, attempt)
      isNameless = false
    }
    if exists { fchmod(descriptor, status.st_mode & 0o777) }
  }

  private static func candidate(for target: String, _ attempt: Int) -> String {
    FilePath.join(FilePath.directory(of: target), ".\(FilePath.name(of: target)).\(getpid())-\(attempt).tmp")
  }

  /// -1 where that is not to be had: by the file system, or without /proc, through which the file gets its name.
  private static func openNameless(in directory: String) -> Int32 {
    guard access("/proc/self/fd", X_OK) == 0 else { return -1 }
    let temporaryFile: Int32 = 0o20000000
    return open(directory, temporaryFile | O_DIRECTORY | O_WRONLY | O_CLOEXEC, 0o666)
  }

  /// False with `errno` where that name is taken, or for any other reason.
  private func link(as name: String) -> Bool {
    linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0
  }

  /// The temporary file's name, given to it if it has none yet.
  private func named() throws(ModelFormatError) -> String? {
    if temporary == nil || !isNameless { return temporary }
    for attempt in 0..<1000 {
      let candidate = Self.candidate(for: path, attempt)
      if link(as: candidate) { return candidate }
      guard errno == EEXIST else { break }
    }
    throw FileMapping.fault(path, errno)
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(ModelFormatError) {
    try check(onnx_write_all(descriptor, bytes.baseAddress, bytes.count))
  }

  func check(_ code: Int32) throws(ModelFormatError) {
    if code != 0 { throw FileMapping.fault(path, code) }
  }

  /// To the disk and over the target, or over another name in the same folder.
  package consuming func commit(as name: String? = nil) throws(ModelFormatError) {
    guard temporary != nil else { return }
    guard fsync(descriptor) == 0 else { throw FileMapping.fault(path, errno) }
    let target = name.map { FilePath.join(FilePath.directory(of: path), $0) } ?? path
    if !(isNameless && link(as: target)) {
      guard let source = try named() else { return }
      guard rename(source, target) == 0 else {
        let code = errno
        unlink(source)
        throw FileMapping.fault(target, code)
      }
    }
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
    if let temporary, !isNameless { unlink(temporary) }
  }
}
