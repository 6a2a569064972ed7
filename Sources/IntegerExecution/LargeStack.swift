import Glibc

/// Lowering follows a value to its producers by recursion, as deep as the graph is long.
enum LargeStack {
  private final class Work {
    let body: () throws -> Void
    var result: Result<Void, any Error> = .success(())
    init(_ body: @escaping () throws -> Void) { self.body = body }
  }

  /// Runs `body` here, or on a thread with a stack of a gibibyte, of which only what is touched takes memory.
  static func run(when isNeeded: Bool, _ body: () throws -> Void) throws {
    guard isNeeded else { return try body() }
    try withoutActuallyEscaping(body) { body in
      let work = Work(body)
      var attributes = pthread_attr_t()
      pthread_attr_init(&attributes)
      defer { pthread_attr_destroy(&attributes) }
      pthread_attr_setstacksize(&attributes, 1 << 30)
      var thread = pthread_t()
      let started = pthread_create(
        &thread, &attributes,
        { argument in
          let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
          work.result = Result { try work.body() }
          return nil
        }, Unmanaged.passRetained(work).toOpaque())
      guard started == 0 else {
        Unmanaged.passUnretained(work).release()
        return try body()
      }
      pthread_join(thread, nil)
      try work.result.get()
    }
  }
}
