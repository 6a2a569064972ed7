import ONNXGraph
import ONNXTensor

/// The grid of sampling points that an affine map gives, for two or three spatial axes. Opset 20.
enum AffineGrid: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let alignsCorners = try node.bool("align_corners", default: false)
    return .tensors { inputs, context in
      let theta = try inputs[0]
      guard let size = try inputs[1].integers, size.count == 4 || size.count == 5, size.allSatisfy({ $0 >= 0 }) else {
        throw OperatorError("the size must be 4 or 5 integers")
      }
      let rank = size.count - 2
      try theta.require(shape: [size[0], rank, rank + 1], "theta")
      let shape = [size[0]] + size[2...] + [rank]
      try CheckedSize.check(shape, of: .float64)
      return try run(try theta.elementType.computeType(), theta, shape, alignsCorners: alignsCorners)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ theta: Tensor, _ shape: [Int], alignsCorners: Bool
  ) throws -> Tensor {
    let matrix = try theta.reals(T.self)
    let spatial = Array(shape[1..<(shape.count - 1)])
    let rank = spatial.count
    let coordinates = spatial.map { extent in
      (0..<extent).map { index -> T in
        if alignsCorners { return extent == 1 ? 0 : T(-1) + T(index) * (2 / T(extent - 1)) }
        return T(-1) + (T(index) + 0.5) * (2 / T(extent))
      }
    }
    var y: [T] = []
    y.reserveCapacity(extent(shape))
    for n in 0..<(extent(spatial) == 0 ? 0 : shape[0]) {
      var index = [Int](repeating: 0, count: rank)
      repeat {
        for row in 0..<rank {
          let base = (n * rank + row) * (rank + 1)
          var sum = matrix[base + rank]
          // The first column belongs to the last axis.
          for column in 0..<rank {
            T.accumulate(&sum, matrix[base + column], coordinates[rank - 1 - column][index[rank - 1 - column]])
          }
          y.append(sum)
        }
      } while advance(&index, in: spatial)
    }
    return try Tensor(reals: y, as: theta.elementType, shape: shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let size = inputs.constant(1)?.integers, size.count >= 3 else {
      guard let count = inputs.extents(1)?.first?.known, count == 4 || count == 5 else {
        return [InferredValue(inputs.elementType(0), extents: nil)]
      }
      let unknown = [Extent](repeating: .unknown, count: count - 2)
      return [InferredValue(inputs.elementType(0), extents: [.unknown] + unknown + [Extent(count - 2)])]
    }
    return [
      InferredValue(inputs.elementType(0), extents: ([size[0]] + size[2...] + [size.count - 2]).map { Extent($0) })
    ]
  }
}
