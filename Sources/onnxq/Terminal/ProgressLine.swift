import Glibc

/// One line on a terminal that says how far a long command is; nothing where standard error is no terminal.
final class ProgressLine {
  private let title: String
  private let isActive: Bool
  private let start: Double
  private var lastDrawn = 0.0
  private var isDrawn = false

  init(_ title: String, quiet: Bool) {
    self.title = title
    isActive = !quiet && Terminal.isInteractive
    start = Self.now()
  }

  /// Draws at most ten times a second.
  func update(_ done: Int, of total: Int?) {
    guard isActive else { return }
    let now = Self.now()
    guard now - lastDrawn > 0.1 else { return }
    lastDrawn = now
    var text = "\(title): \(done)"
    if let total {
      text += " of \(total)"
      if done > 0, done < total {
        text += ", \(Int((now - start) / Double(done) * Double(total - done)) + 1) s left"
      }
    }
    Terminal.write("\r\u{1B}[K\(text)", to: STDERR_FILENO)
    isDrawn = true
  }

  func finish() {
    if isDrawn { Terminal.write("\r\u{1B}[K", to: STDERR_FILENO) }
    isDrawn = false
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
