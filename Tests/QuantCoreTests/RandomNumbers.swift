import ONNXTensor
import QuantCore

/// A seeded generator (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Nearly normal: the sum of twelve even numbers.
  mutating func normal(_ deviation: Float = 1) -> Float {
    ((0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }) * deviation
  }

  mutating func normals(_ count: Int, _ deviation: Float = 1) -> [Float] { (0..<count).map { _ in normal(deviation) } }
}

func statistics(of values: [Float], axes: Set<Int> = [], shape: [Int]? = nil) -> TensorStatistics {
  let observer = TensorObserver(axes: axes)
  observer.observe(Tensor(values, shape: shape ?? [values.count]))
  return observer.result()
}
