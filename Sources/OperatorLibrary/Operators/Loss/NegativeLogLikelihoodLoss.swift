import ONNXGraph
import ONNXTensor

/// Minus the score of each element's class, weighted by class and reduced. Opsets 12, 13, 22.
enum NegativeLogLikelihoodLoss: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let loss = try ClassLoss(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      return try loss.run(try x.elementType.computeType(), x, try inputs[1], try inputs.optional(2))
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [try ClassLoss(node).infer(inputs)]
  }
}

/// `NegativeLogLikelihoodLoss` of the logarithm of softmax over axis 1. Opsets 12, 13.
enum SoftmaxCrossEntropyLoss: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let loss = try ClassLoss(node)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      guard x.rank >= 2 else { throw OperatorError("the scores have rank \(x.rank), expected 2 or more") }
      let logarithms = try logSoftmax(try x.elementType.computeType(), x)
      let result = try loss.run(
        try x.elementType.computeType(), logarithms, try inputs[1], try inputs.optional(2))
      return [.tensor(result), .tensor(logarithms)]
    }
  }

  @_specialize(where T == Float)
  private static func logSoftmax<T: ComputeReal>(_ type: T.Type, _ x: Tensor) throws -> Tensor {
    var y = try x.reals(T.self)
    SoftmaxFamily.apply(&y, try AxisSplit(x.shape, axis: 1), .logarithms)
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [try ClassLoss(node).infer(inputs), inputs.like(0)]
  }
}

private struct ClassLoss {
  enum Reduction: String { case none, mean, sum }

  let reduction: Reduction
  let ignored: Int?

  init(_ node: OperatorNode) throws {
    let name = try node.string("reduction", default: "mean")
    guard let reduction = Reduction(rawValue: name) else { throw OperatorError("attribute 'reduction' is '\(name)'") }
    self.reduction = reduction
    ignored = try node.int("ignore_index")
  }

  /// `x` is [N, C, ...] of log-probabilities, `target` [N, ...] of classes.
  @_specialize(where T == Float)
  func run<T: ComputeReal>(_ type: T.Type, _ x: Tensor, _ target: Tensor, _ weight: Tensor?) throws -> Tensor {
    guard x.rank >= 2, target.shape == [x.shape[0]] + x.shape[2...], let classes = target.integers else {
      throw OperatorError("scores of shape \(x.shape) and classes of shape \(target.shape) do not fit together")
    }
    let count = x.shape[1]
    try weight?.require(shape: [count], "the weight")
    let values = try x.reals(T.self)
    let weights = try weight?.reals(T.self)
    let plane = extent(x.shape[2...])
    var losses = [T](repeating: 0, count: classes.count)
    var total: T = 0
    for (index, kind) in classes.enumerated() where kind != ignored {
      guard kind >= 0, kind < count else { throw OperatorError("class \(kind) is not one of \(count)") }
      let factor = weights?[kind] ?? 1
      total += factor
      losses[index] = -values[(index / plane * count + kind) * plane + index % plane] * factor
    }
    switch reduction {
    case .none: return try Tensor(reals: losses, as: x.elementType, shape: target.shape)
    case .sum: return try Tensor(reals: [losses.reduce(0, +)], as: x.elementType, shape: [])
    case .mean: return try Tensor(reals: [losses.reduce(0, +) / total], as: x.elementType, shape: [])
    }
  }

  func infer(_ inputs: [InferredValue?]) throws -> InferredValue? {
    InferredValue(inputs.elementType(0), extents: reduction == .none ? inputs.extents(1) : [])
  }
}
