/// The threads that kernels share; results never depend on their number.
package final class ThreadPool: Sendable {
  /// Threads that take part, the caller included; at least 1.
  package let count: Int

  package init(count: Int) { self.count = max(1, count) }

  /// Runs everything on the caller.
  package static let serial = ThreadPool(count: 1)
}
