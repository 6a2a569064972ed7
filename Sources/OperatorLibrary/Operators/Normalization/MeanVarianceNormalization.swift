import ONNXGraph
import ONNXTensor

/// (x - mean) / (standard deviation + 1e-9) over the given axes. Opsets 9, 13.
enum MeanVarianceNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axes = try node.ints("axes") ?? [0, 2, 3]
    return .tensors { inputs, context in
      let x = try inputs[0]
      let reduced = Set(try axes.map { try CheckedSize.axis($0, rank: x.rank) })
      return try run(try x.elementType.computeType(), x, reduced)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(_ type: T.Type, _ x: Tensor, _ reduced: Set<Int>) throws -> Tensor {
    let values = try x.reals(T.self)
    let kept = x.shape.indices.map { reduced.contains($0) ? 1 : x.shape[$0] }
    let strides = broadcastStrides(kept, to: x.shape)
    var sums = [T](repeating: 0, count: extent(kept))
    var squares = sums
    var groups: [Int] = []
    groups.reserveCapacity(values.count)
    var index = [Int](repeating: 0, count: x.rank)
    for value in values {
      let group = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
      groups.append(group)
      sums[group] += value
      advance(&index, in: x.shape)
    }
    let count = T(reduced.reduce(1) { $0 * x.shape[$1] })
    let means = sums.map { $0 / count }
    for (value, group) in zip(values, groups) { squares[group] += (value - means[group]) * (value - means[group]) }
    let deviations = squares.map { ($0 / count).squareRoot() + T(Float(1e-9)) }
    let y = zip(values, groups).map { ($0 - means[$1]) / deviations[$1] }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }

  static var quantization: QuantizationTraits { .unary }
}
