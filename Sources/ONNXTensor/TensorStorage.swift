import Glibc
import Synchronization

/// Bytes of a tensor: owned and 64-byte aligned, or a view into memory that another object keeps alive.
///
/// Owned storage is written only between its creation and the first sharing of its tensor.
package final class TensorStorage: @unchecked Sendable {
  package let base: UnsafeMutableRawPointer
  package let byteCount: Int
  private let owner: AnyObject?
  private let pool: BufferPool?
  private let capacity: Int

  /// Uninitialized, 64-byte aligned; taken from `pool` when one is given and returned to it at the end.
  package init(byteCount: Int, pool: BufferPool? = nil) {
    self.byteCount = byteCount
    self.owner = nil
    self.pool = pool
    (base, capacity) = BufferPool.take(byteCount, from: pool)
  }

  /// A view; `owner` keeps the memory alive and nobody writes to it.
  package init(viewing bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    base =
      UnsafeMutableRawPointer(mutating: bytes.baseAddress) ?? UnsafeMutableRawPointer(bitPattern: 64).unsafelyUnwrapped
    byteCount = bytes.count
    self.owner = owner
    pool = nil
    capacity = 0
  }

  /// False for views of memory that another object owns, which has no spare bytes at its end.
  package var isOwned: Bool { owner == nil }

  deinit {
    guard owner == nil else { return }
    BufferPool.give(base, capacity: capacity, to: pool)
  }
}

/// Recycles buffers by rounded size, so that a plan that runs again allocates nothing.
package final class BufferPool: Sendable {
  private struct Bins { var free: [Int: [UInt]] = [:] }
  private let bins = Mutex(Bins())

  package init() {}

  deinit {
    bins.withLock { bins in
      for address in bins.free.values.joined() { free(UnsafeMutableRawPointer(bitPattern: address)) }
    }
  }

  static func take(_ byteCount: Int, from pool: BufferPool?) -> (UnsafeMutableRawPointer, Int) {
    // 64 spare bytes let kernels read a whole vector at the end of a buffer.
    let capacity = roundedUp(max(byteCount, 1) + 64)
    if let pool, let address = pool.bins.withLock({ $0.free[capacity]?.popLast() }),
      let base = UnsafeMutableRawPointer(bitPattern: address)
    {
      return (base, capacity)
    }
    var pointer: UnsafeMutableRawPointer?
    guard posix_memalign(&pointer, 64, capacity) == 0, let pointer else {
      fatalError("out of memory: a tensor of \(byteCount) bytes")
    }
    return (pointer, capacity)
  }

  static func give(_ base: UnsafeMutableRawPointer, capacity: Int, to pool: BufferPool?) {
    guard let pool else { return free(base) }
    pool.bins.withLock { $0.free[capacity, default: []].append(UInt(bitPattern: base)) }
  }

  private static func roundedUp(_ count: Int) -> Int {
    // Steps of an eighth of the power of two below: at most 12.5 % is wasted.
    let step = max(64, 1 << max(0, Int.bitWidth - count.leadingZeroBitCount - 4))
    return (count + step - 1) / step * step
  }
}
