import ONNXTensor

/// The class that a classifier's output names.
package enum Classification {
  /// The index of the largest score of each row of the first output; the first of equals.
  /// nil when the tensor is not rows of at least two scores: `[N, C]`, possibly with trailing ones.
  package static func topOne(_ tensor: Tensor) -> [Int]? {
    var shape = tensor.shape
    while shape.count > 2, shape.last == 1 { shape.removeLast() }
    if shape.count == 1 { shape.insert(1, at: 0) }
    guard shape.count == 2, shape[1] >= 2, let scores = tensor.floats else { return nil }
    return (0..<shape[0]).map { row in
      var best = row * shape[1]
      for index in best..<(row + 1) * shape[1] where scores[index] > scores[best] { best = index }
      return best - row * shape[1]
    }
  }
}
