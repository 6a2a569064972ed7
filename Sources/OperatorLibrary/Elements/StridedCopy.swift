import Glibc
import ONNXTensor

/// Copies a box of elements between two strided layouts; strides and offsets count elements, negative strides run back.
struct StridedCopy {
  private var extents: [Int] = []
  private var sources: [Int] = []
  private var targets: [Int] = []
  private let isEmpty: Bool

  init(extents: [Int], sourceStrides: [Int], targetStrides: [Int]) {
    isEmpty = extents.contains(0)
    // Merge from the inside dimensions that are one in both layouts.
    for index in extents.indices.reversed() where extents[index] != 1 {
      let (extent, source, target) = (extents[index], sourceStrides[index], targetStrides[index])
      if let inner = self.extents.last, source == sources[sources.count - 1] &* inner,
        target == targets[targets.count - 1] &* inner
      {
        self.extents[self.extents.count - 1] = inner &* extent
      } else {
        self.extents.append(extent)
        sources.append(source)
        targets.append(target)
      }
    }
    self.extents.reverse()
    sources.reverse()
    targets.reverse()
  }

  /// `from` and `to` point at the first element of the box; elements have 1, 2, 4, 8 or 16 bytes.
  func run(elementBytes: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
    guard !isEmpty else { return }
    switch elementBytes {
    case 1: run(UInt8.self, source, target)
    case 2: run(UInt16.self, source, target)
    case 4: run(UInt32.self, source, target)
    case 8: run(UInt64.self, source, target)
    case 16: run(SIMD2<UInt64>.self, source, target)
    default: preconditionFailure("elements of \(elementBytes) bytes")
    }
  }

  @inline(__always)
  private func run<T: BitwiseCopyable>(_: T.Type, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
    let size = MemoryLayout<T>.stride
    guard let last = extents.indices.last else {
      return target.copyMemory(from: source, byteCount: size)
    }
    let innerCount = extents[last]
    let (innerSource, innerTarget) = (sources[last], targets[last])
    // A transposition: the innermost target dimension is strided in the source and another one is dense there.
    if innerTarget == 1, innerSource != 1, let dense = sources[..<last].lastIndex(of: 1), size <= 8 {
      return forEachOuter(skipping: [dense, last]) { from, to in
        Self.transpose(
          T.self, source + from &* size, target + to &* size, rows: extents[dense], columns: innerCount,
          columnStride: innerSource, rowStride: targets[dense])
      }
    }
    forEachOuter(skipping: [last]) { from, to in
      let from = source + from &* size
      let to = target + to &* size
      if innerSource == 1 && innerTarget == 1 {
        to.copyMemory(from: from, byteCount: innerCount &* size)
      } else if innerSource == 0 && innerTarget == 1 {
        let value = from.loadUnaligned(as: T.self)
        for index in 0..<innerCount { to.storeBytes(of: value, toByteOffset: index &* size, as: T.self) }
      } else {
        for index in 0..<innerCount {
          to.storeBytes(
            of: from.loadUnaligned(fromByteOffset: index &* innerSource &* size, as: T.self),
            toByteOffset: index &* innerTarget &* size, as: T.self)
        }
      }
    }
  }

  /// target[row * rowStride + column] = source[row + column * columnStride], in blocks that fit the cache.
  @inline(__always)
  private static func transpose<T: BitwiseCopyable>(
    _: T.Type, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, rows: Int, columns: Int,
    columnStride: Int, rowStride: Int
  ) {
    let size = MemoryLayout<T>.stride
    let block = 16
    for rowStart in stride(from: 0, to: rows, by: block) {
      let rowEnd = min(rowStart &+ block, rows)
      for columnStart in stride(from: 0, to: columns, by: block) {
        let columnEnd = min(columnStart &+ block, columns)
        for row in rowStart..<rowEnd {
          let to = target + row &* rowStride &* size
          let from = source + row &* size
          for column in columnStart..<columnEnd {
            to.storeBytes(
              of: from.loadUnaligned(fromByteOffset: column &* columnStride &* size, as: T.self),
              toByteOffset: column &* size, as: T.self)
          }
        }
      }
    }
  }

  /// Offsets of source and target for every index of the dimensions that are not skipped.
  @inline(__always)
  private func forEachOuter(skipping skipped: [Int], _ body: (Int, Int) -> Void) {
    let axes = extents.indices.filter { !skipped.contains($0) }
    var index = [Int](repeating: 0, count: axes.count)
    var (from, to) = (0, 0)
    while true {
      body(from, to)
      var position = axes.count - 1
      while true {
        if position < 0 { return }
        let axis = axes[position]
        index[position] += 1
        from &+= sources[axis]
        to &+= targets[axis]
        if index[position] < extents[axis] { break }
        from &-= sources[axis] &* extents[axis]
        to &-= targets[axis] &* extents[axis]
        index[position] = 0
        position -= 1
      }
    }
  }
}

extension Tensor {
  /// A new dense tensor whose element at `index` is this one's element at `offset + sum(index * strides)`.
  ///
  /// The caller has checked that all offsets are inside.
  func gathered(shape: [Int], strides: [Int], offset: Int = 0, pool: BufferPool?) -> Tensor {
    guard elementType.bitWidth >= 8 else {
      return DenseElements.move(self) { $0.gathered(shape: shape, strides: strides, offset: offset, pool: pool) }
    }
    return withBytes { source in
      Tensor(elementType, shape: shape, pool: pool) { out in
        guard let from = source.baseAddress, let to = out.baseAddress, out.count > 0 else { return }
        StridedCopy(extents: shape, sourceStrides: strides, targetStrides: ShapeArithmetic.strides(shape))
          .run(elementBytes: elementBytes, from: from + offset * elementBytes, to: to)
      }
    }
  }

  /// Dimensions in the order of `permutation`.
  func transposed(_ permutation: [Int], pool: BufferPool?) -> Tensor {
    let strides = ShapeArithmetic.strides(shape)
    let moved = permutation.filter { shape[$0] != 1 }
    let target = permutation.map { shape[$0] }
    if moved == moved.sorted() { return reshaped(target) }
    return gathered(shape: target, strides: permutation.map { strides[$0] }, pool: pool)
  }
}

extension Tensor {
  /// The slices at `indices` of `axis`, that axis replaced by dimensions `replacement`.
  ///
  /// The caller has checked the indices.
  func taking(_ indices: [Int], axis: Int, as replacement: [Int], pool: BufferPool?) -> Tensor {
    guard elementType.bitWidth >= 8 else {
      return DenseElements.move(self) { $0.taking(indices, axis: axis, as: replacement, pool: pool) }
    }
    let (outer, extent, inner) = ShapeArithmetic.split(shape, at: axis)
    let run = inner * elementBytes
    return withBytes { source in
      Tensor(elementType, shape: shape[..<axis] + replacement + shape[(axis + 1)...], pool: pool) { out in
        guard let from = source.baseAddress, var to = out.baseAddress, out.count > 0 else { return }
        for block in 0..<outer {
          let base = from + block * extent * run
          if run == 4 {
            for index in indices {
              to.storeBytes(of: base.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self), as: UInt32.self)
              to += 4
            }
          } else {
            for index in indices {
              to.copyMemory(from: base + index * run, byteCount: run)
              to += run
            }
          }
        }
      }
    }
  }
}
