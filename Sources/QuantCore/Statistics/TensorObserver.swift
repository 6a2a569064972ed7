import Glibc
import ONNXTensor

/// Collects the statistics of one tensor, sample after sample. One caller at a time.
///
/// The counters of all bins are one mapping whose untouched pages take no memory.
package final class TensorObserver {
  private let bins: UnsafeMutablePointer<UInt64>
  private var statistics = TensorStatistics()
  private static let mappedBytes = FloatHistogram.binCount * MemoryLayout<UInt64>.stride

  /// - Parameter axes: axes whose channels are observed one by one; negative ones count from the last.
  package init(axes: Set<Int> = []) {
    let base = mmap(nil, Self.mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let base, base != MAP_FAILED else { fatalError("out of memory: the histogram of a tensor") }
    madvise(base, Self.mappedBytes, MADV_NOHUGEPAGE)
    bins = base.bindMemory(to: UInt64.self, capacity: FloatHistogram.binCount)
    statistics.channels = axes.sorted().map { ChannelStatistics(axis: $0) }
  }

  deinit { munmap(bins, Self.mappedBytes) }

  /// Adds one sample's tensor; false for a tensor that is not of a float type, which is left out.
  ///
  /// - Parameter pool: the threads, as `ck_pool`.
  @discardableResult
  package func observe(_ tensor: Tensor, pool: OpaquePointer? = nil) -> Bool {
    guard tensor.elementType.isFloatingPoint else { return false }
    if tensor.elementType == .float32 {
      tensor.withElements(Float.self) { observe($0, shape: tensor.shape, pool) }
    } else if let floats = tensor.floats {
      floats.withUnsafeBufferPointer { observe($0, shape: tensor.shape, pool) }
    }
    return true
  }

  /// All that was observed so far.
  package func result() -> TensorStatistics {
    var result = statistics
    result.histogram = FloatHistogram(dense: bins)
    return result
  }

  private func observe(_ elements: UnsafeBufferPointer<Float>, shape: [Int], _ pool: OpaquePointer?) {
    statistics.insert(TensorStatistics.ShapeBounds(shape))
    let summary = StatisticsKernels.summarize(elements, pool)
    statistics.count += summary.count
    statistics.zeros += summary.zeros
    statistics.nans += summary.nans
    statistics.positiveInfinities += summary.positive_infinities
    statistics.negativeInfinities += summary.negative_infinities
    statistics.minimum = min(statistics.minimum, summary.min)
    statistics.maximum = max(statistics.maximum, summary.max)
    StatisticsKernels.count(elements, into: bins, pool)
    for index in statistics.channels.indices { observeChannels(index, elements, shape, pool) }
  }

  private func observeChannels(
    _ index: Int, _ elements: UnsafeBufferPointer<Float>, _ shape: [Int], _ pool: OpaquePointer?
  ) {
    guard case let asked = statistics.channels[index].axis, case let axis = asked < 0 ? asked + shape.count : asked,
      shape.indices.contains(axis)
    else {
      statistics.channels[index].contents = .inconsistent
      return
    }
    let count = shape[axis]
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    var channels: ChannelStatistics.Channels
    switch statistics.channels[index].contents {
    case .inconsistent: return
    case .none: channels = .init(count: count)
    case .channels(let known):
      guard known.count == count else {
        statistics.channels[index].contents = .inconsistent
        return
      }
      channels = known
      statistics.channels[index].contents = .none
    }
    let sample = StatisticsKernels.channels(elements, outer: outer, channels: count, inner: inner, pool)
    channels.elements += UInt64(outer * inner)
    for channel in 0..<count {
      // Adding 0 drops the sign of -0, which would depend on the order of elements.
      channels.minima[channel] = min(channels.minima[channel], sample.minima[channel] + 0)
      channels.maxima[channel] = max(channels.maxima[channel], sample.maxima[channel] + 0)
      channels.sums.add(sample.sums[channel], to: channel)
      channels.squares.add(sample.squares[channel], to: channel)
    }
    statistics.channels[index].contents = .channels(channels)
  }
}
