import ONNXTensor
import QuantCore
import TestSupport

extension SeededGenerator {
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
