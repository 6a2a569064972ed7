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

  static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if errno != EINTR {
        return
      }
    }
  }

  static var isInteractive: Bool { isatty(STDERR_FILENO) == 1 }
}

extension Terminal {
  /// Bytes to standard output.
  static func write(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return }
    }
  }
}
