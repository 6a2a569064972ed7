import CKernels

/// Threads that share the blocks of one loop at a time.
///
/// A loop that is started inside another one, or while another thread is using the pool, runs in its own thread alone,
/// so any use is safe. Results of kernels do not depend on the number of threads.
package final class ThreadPool: Sendable {
  private nonisolated(unsafe) let pool: OpaquePointer?

  /// A pool of `threads` threads, the caller's included; all processors of the process by default.
  package init(threads: Int = ThreadPool.processorCount) {
    pool = ck_pool_create(Int32(clamping: threads))
  }

  deinit { ck_pool_destroy(pool) }

  /// Runs everything on the caller.
  package static let serial = ThreadPool(threads: 1)

  package static var processorCount: Int { Int(ck_processor_count()) }

  package var threadCount: Int { Int(ck_pool_threads(pool)) }

  /// The C pool for kernels, valid as long as this object.
  package var handle: OpaquePointer? { pool }

  /// Calls `body` on disjoint ranges of `grain` indices that cover `0 ..< count`, in any order, on any threads.
  package func forEach(count: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
    withoutActuallyEscaping(body) { body in
      var call = LoopBody(call: body)
      withUnsafeMutablePointer(to: &call) { context in
        ck_parallel_for(
          pool, count, grain,
          { context, begin, end in
            context?.assumingMemoryBound(to: LoopBody.self).pointee.call(begin..<end)
          }, context)
      }
    }
  }
}

private struct LoopBody {
  var call: (Range<Int>) -> Void
}
