import ONNXGraph
import ONNXTensor

/// Layer normalization of the sum of input, skip and bias; the sum is the fourth output.
enum SkipLayerNormalization: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try SkipForm.kernel(node, isRootMeanSquare: false) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    SkipForm.infer(inputs)
  }
  static var quantization: QuantizationTraits { .none }
}

/// The same with the root mean square and without a shift.
enum SkipSimplifiedLayerNormalization: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try SkipForm.kernel(node, isRootMeanSquare: true) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    SkipForm.infer(inputs)
  }
  static var quantization: QuantizationTraits { .none }
}

/// ONNX Runtime's name, in ONNX's own domain, for `RMSNormalization`.
enum SimplifiedLayerNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try RMSNormalization.prepare(node) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try LayerNormalization.infer(node, inputs)
  }
  static var quantization: QuantizationTraits { .unary }
}

private enum SkipForm {
  static func kernel(_ node: OperatorNode, isRootMeanSquare: Bool) throws -> Kernel {
    var rows = try RowNormalization(node)
    rows.axis = -1
    rows.epsilon = try node.float("epsilon", default: 1e-12)
    rows.isRootMeanSquare = isRootMeanSquare
    return Kernel { [rows] values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      let skip = try inputs[1]
      let bias = try inputs.optional(isRootMeanSquare ? 3 : 4)
      guard try broadcastShape(skip.shape, x.shape) == x.shape, x.rank >= 1 else {
        throw OperatorError("a skip of shape \(skip.shape) does not fit an input of \(x.shape)")
      }
      try bias?.require(shape: [x.shape[x.rank - 1]], "the bias")
      let sum = try added(try x.elementType.computeType(), x, skip, bias)
      let beta = isRootMeanSquare ? nil : try inputs.optional(3)
      let results = try rows.run(
        [.tensor(sum), .tensor(try inputs[2]), beta.map { .tensor($0) }], context)
      let statistics = (1...2).map { $0 < results.count ? results[$0] : nil }
      return [results[0]] + statistics + [.tensor(sum)]
    }
  }

  @_specialize(where T == Float)
  private static func added<T: ComputeReal>(_ type: T.Type, _ x: Tensor, _ skip: Tensor, _ bias: Tensor?) throws
    -> Tensor
  {
    var y = try x.reals(T.self)
    let other = try skip.reals(T.self)
    let shift = try bias?.reals(T.self)
    let width = max(bias?.count ?? 1, 1)
    // A skip of fewer axes repeats as a whole.
    if other.count == y.count || extent(x.shape.suffix(skip.rank)) == other.count {
      let count = max(other.count, 1)
      for index in y.indices { y[index] += other[index % count] + (shift?[index % width] ?? 0) }
    } else {
      let strides = broadcastStrides(skip.shape, to: x.shape)
      var index = [Int](repeating: 0, count: x.rank)
      for number in y.indices {
        let source = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
        y[number] += other[source] + (shift?[number % width] ?? 0)
        advance(&index, in: x.shape)
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  static func infer(_ inputs: [InferredValue?]) -> [InferredValue?] {
    let statistics = InferredValue(.float32, extents: inputs.extents(0).map { $0.dropLast() + [Extent(1)] })
    return [inputs.like(0), statistics, statistics, inputs.like(0)]
  }
}
