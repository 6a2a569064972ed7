import ONNXTensor
import QuantCore
import TestSupport
import Testing

@Suite struct StatisticsTests {
  @Test func countsEveryKindOfValue() {
    let values: [Float] = [0, -0.0, 1, -2, .nan, .infinity, .infinity, -.infinity, .leastNonzeroMagnitude, 3.4e38]
    let result = statistics(of: values)
    #expect(result.count == 10)
    #expect(result.zeros == 2)
    #expect(result.nans == 1)
    #expect(result.positiveInfinities == 2)
    #expect(result.negativeInfinities == 1)
    #expect(result.minimum == -2)
    #expect(result.maximum == 3.4e38)
    // 1, -2 and 3.4e38; the smallest denormal is in no bin.
    #expect(result.histogram.total == 3)
    #expect(result.shape == [10])
  }

  @Test func binsAreTheTopBitsOfThePattern() {
    var generator = SeededGenerator(seed: 1)
    let values = (0..<4096).map { _ in Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &generator)) }
    var expected = FloatHistogram()
    for value in values { expected.add(value) }
    #expect(statistics(of: values).histogram == expected)
  }

  @Test func nothingSeenIsNothing() {
    let result = TensorObserver().result()
    #expect(result == TensorStatistics())
    #expect(result.minimum == .infinity && result.maximum == -.infinity)
  }

  @Test func integerTensorsAreLeftOut() {
    let observer = TensorObserver()
    #expect(!observer.observe(Tensor([1, 2, 3] as [Int64], shape: [3])))
    #expect(observer.result().count == 0)
  }

  @Test func smallFloatTypesCountAsTheirValues() {
    let observer = TensorObserver()
    observer.observe(Tensor([1, -4, 0] as [Float16], shape: [3]))
    #expect(observer.result() == statistics(of: [1, -4, 0]))
  }

  @Test func mergeIsExactInAnyOrder() throws {
    var generator = SeededGenerator(seed: 2)
    let samples = (0..<12).map { index -> [Float] in
      generator.normals(4 * 6 * 5, Float(sign: .plus, exponent: index * 7 - 40, significand: 1))
    }
    let whole = TensorObserver(axes: [1])
    for sample in samples { whole.observe(Tensor(sample, shape: [4, 6, 5])) }
    let expected = whole.result()
    for round in 0..<8 {
      var order = samples
      order.shuffle(using: &generator)
      var merged = TensorStatistics()
      for start in stride(from: 0, to: order.count, by: round + 1) {
        let shard = TensorObserver(axes: [1])
        for sample in order[start..<min(start + round + 1, order.count)] {
          shard.observe(Tensor(sample, shape: [4, 6, 5]))
        }
        if round.isMultiple(of: 2) {
          try merged.merge(shard.result())
        } else {
          var other = shard.result()
          try other.merge(merged)
          merged = other
        }
      }
      #expect(merged == expected, "round \(round)")
    }
  }

  @Test func mergeRefusesOverflow() {
    var left = statistics(of: [1])
    left.count = .max
    #expect(throws: StatisticsError.overflow) { try left.merge(statistics(of: [1])) }
  }

  @Test func channelsHaveMinimaMaximaAndMeans() throws {
    let result = statistics(of: [1, 2, 3, 4, -5, 6, 7, 8, 9, 10, 11, 12], axes: [1, -1], shape: [2, 3, 2])
    let rows = try #require(result.channels(axis: 1)?.channels)
    #expect(rows.minima == [1, 3, -5])
    #expect(rows.maxima == [8, 10, 12])
    #expect(rows.means == [4.5, 6.5, 6])
    #expect(rows.elements == 4)
    let columns = try #require(result.channels(axis: -1)?.means)
    #expect(columns == [26.0 / 6, 42.0 / 6])
  }

  @Test func channelsThatChangeInNumberAreInconsistent() throws {
    let observer = TensorObserver(axes: [0])
    observer.observe(Tensor([1, 2] as [Float], shape: [2]))
    observer.observe(Tensor([1, 2, 3] as [Float], shape: [3]))
    #expect(observer.result().channels(axis: 0)?.contents == .inconsistent)
    #expect(observer.result().shapes.first?.highest == [3])
    #expect(observer.result().shape == nil)
    var merged = statistics(of: [1], axes: [0])
    try merged.merge(observer.result())
    #expect(merged.channels(axis: 0)?.contents == .inconsistent)
  }

  @Test func meanOfAChannelWithNaNIsUnknown() {
    #expect(statistics(of: [1, .nan], axes: [0]).channels(axis: 0)?.means == nil)
  }

  @Test func modelStatisticsMergeByName() throws {
    var left = ModelStatistics()
    left.samples = 2
    left.tensors["a"] = statistics(of: [1, 2])
    var right = ModelStatistics()
    right.samples = 3
    right.tensors["a"] = statistics(of: [3])
    right.tensors["b"] = statistics(of: [4])
    try left.merge(right)
    #expect(left.samples == 5)
    #expect(left["a"]?.count == 3)
    #expect(left["a"]?.maximum == 3)
    #expect(left["b"]?.count == 1)
  }
}
