import ONNXGraph
import ONNXTensor

/// x divided by its p-norm (p = 1 or 2) along one axis; 0 where the norm is 0. Opsets 1, 22.
enum LpNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: -1)
    let p = try node.int("p", default: 2)
    guard p == 1 || p == 2 else { throw OperatorError("attribute 'p' is \(p), expected 1 or 2") }
    return .tensors { inputs, context in
      let x = try inputs[0]
      return try run(try x.elementType.computeType(), x, try AxisSplit(x.shape, axis: axis), p)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(_ type: T.Type, _ x: Tensor, _ split: AxisSplit, _ p: Int) throws -> Tensor {
    var y = try x.reals(T.self)
    split.forEachLine { line in
      var sum: T = 0
      for index in line { sum += p == 1 ? abs(y[index]) : y[index] * y[index] }
      let norm = p == 1 ? sum : sum.squareRoot()
      for index in line { y[index] = norm == 0 ? 0 : y[index] / norm }
    }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }

  static var quantization: QuantizationTraits { .unary }
}

/// A shape seen as [outer][count][inner] around one axis.
struct AxisSplit {
  let outer: Int
  let count: Int
  let inner: Int

  init(_ shape: [Int], axis: Int) throws {
    let axis = try CheckedSize.axis(axis, rank: shape.count)
    (outer, count, inner) = (extent(shape[..<axis]), shape[axis], extent(shape[(axis + 1)...]))
  }

  init(outer: Int, count: Int, inner: Int) { (self.outer, self.count, self.inner) = (outer, count, inner) }

  /// The element indices along the axis, line by line.
  func forEachLine(_ body: (StrideTo<Int>) -> Void) {
    for o in 0..<outer {
      for i in 0..<inner {
        let start = o * count * inner + i
        body(stride(from: start, to: start + count * inner, by: max(inner, 1)))
      }
    }
  }
}
