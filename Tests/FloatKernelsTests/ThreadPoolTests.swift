import FloatKernels
import Glibc
import Synchronization
import Testing

private final class Counter: Sendable {
  private let value = Atomic<Int>(0)
  var count: Int { value.load(ordering: .relaxed) }
  func add(_ n: Int) { value.add(n, ordering: .relaxed) }
}

@Suite struct ThreadPoolTests {
  @Test(arguments: [1, 2, 3, 8]) func everyIndexOnce(threads: Int) {
    let pool = ThreadPool(threads: threads)
    #expect(pool.threadCount <= threads)
    for count in [0, 1, 2, 7, 64, 1000] {
      for grain in [0, 1, 3, 64, 5000] {
        var seen = [UInt8](repeating: 0, count: count)
        seen.withUnsafeMutableBufferPointer { buffer in
          nonisolated(unsafe) let seen = buffer
          pool.forEach(count: count, grain: grain) { range in
            #expect(range.count <= max(grain, 1))
            for i in range { seen[i] += 1 }
          }
        }
        #expect(seen.allSatisfy { $0 == 1 })
      }
    }
  }

  @Test func manyShortLoops() {
    let pool = ThreadPool(threads: 4)
    let sum = Counter()
    for _ in 0..<20000 {
      pool.forEach(count: 4) { range in sum.add(range.lowerBound + 1) }
    }
    #expect(sum.count == 20000 * 10)
  }

  @Test func sleepersWake() {
    let pool = ThreadPool(threads: 3)
    let sum = Counter()
    for _ in 0..<20 {
      usleep(500)
      pool.forEach(count: 30) { range in sum.add(range.count) }
    }
    #expect(sum.count == 600)
  }

  @Test func nestedAndConcurrentLoops() async {
    let pool = ThreadPool(threads: 3)
    let total = Counter()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<200 {
            pool.forEach(count: 5) { outer in
              pool.forEach(count: 7) { inner in total.add(outer.count * inner.count) }
            }
          }
        }
      }
      await group.waitForAll()
    }
    #expect(total.count == 4 * 200 * 35)
  }
}
