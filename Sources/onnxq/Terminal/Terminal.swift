import Glibc

enum ExitStatus: Int32 {
  case good = 0
  case fellShort = 1
  case usage = 2
  case badInput = 3
  case internalError = 4
}

/// Standard output carries results, standard error everything else.
enum Terminal {
  static func error(_ message: String, prefix: String = "onnxq: ") {
    write(prefix + message + "\n", to: STDERR_FILENO)
  }

  static func note(_ message: String) { write(message + "\n", to: STDERR_FILENO) }

  static func out(_ text: String) { write(text.hasSuffix("\n") ? text : text + "\n", to: STDOUT_FILENO) }

  static func exit(_ status: ExitStatus) -> Never {
    fflush(nil)
    Glibc.exit(status.rawValue)
  }

  static func write(_ text: String, to descriptor: Int32) { write(Array(text.utf8), to: descriptor) }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        if descriptor == STDOUT_FILENO { lost(errno) }
        return
      }
    }
  }

  /// A result that cannot be printed is no good end, though it was computed.
  private static func lost(_ code: Int32) -> Never {
    error("standard output: \(String(cString: strerror(code)))")
    exit(.badInput)
  }

  /// Where the caller closed a standard stream, a file that is opened later would take its place and its text.
  static func occupyStandardStreams() {
    var opened = open("/dev/null", O_RDONLY)
    while opened >= 0 && opened <= STDERR_FILENO { opened = open("/dev/null", O_RDONLY) }
    if opened >= 0 { close(opened) }
  }

  static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }
}

extension Terminal {
  /// Bytes to standard output.
  static func write(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }
}
