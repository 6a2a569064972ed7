import FloatKernels
import ONNXGraph
import ONNXTensor

/// The mean over all spatial axes, which stay with extent 1. Opsets 1, 22.
enum GlobalAveragePool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    GlobalPool.kernel(.average(includingPad: false))
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    GlobalPool.infer(inputs)
  }
  static var quantization: QuantizationTraits { .unary }
}

/// The p-norm over all spatial axes. Opsets 1, 2, 22.
enum GlobalLpPool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    GlobalPool.kernel(.norm(p: try LpPool.exponent(node)))
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    GlobalPool.infer(inputs)
  }
  static var quantization: QuantizationTraits { .unary }
}

/// The largest element over all spatial axes. Opsets 1, 22.
enum GlobalMaxPool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { GlobalPool.kernel(nil) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    GlobalPool.infer(inputs)
  }
  static var quantization: QuantizationTraits { .movement }
}

private enum GlobalPool {
  /// nil is the maximum.
  static func kernel(_ reduction: WindowPool.Reduction?) -> Kernel {
    .tensors { inputs, context in
      let x = try inputs[0]
      guard x.rank >= 2 else { throw OperatorError("input 0 has rank \(x.rank), expected 2 or more") }
      if x.elementType == .float32 {
        switch reduction {
        case nil: return try reduce(.max, x, context)
        case .average: return try reduce(.mean, x, context)
        default: break
        }
      }
      return try run(try x.elementType.computeType(), x, reduction)
    }
  }

  private static func reduce(_ function: ReduceFunction, _ x: Tensor, _ context: EvaluationContext) throws -> Tensor {
    let shape = Array(x.shape.prefix(2)) + Array(repeating: 1, count: x.rank - 2)
    return try context.tensor(of: Float.self, shape: shape) { y in
      try x.withElements(Float.self) {
        try context.backend.reduce(function, outer: y.count, count: extent(x.shape[2...]), inner: 1, $0, into: y)
      }
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ reduction: WindowPool.Reduction?
  ) throws -> Tensor {
    let planes = x.shape[0] * x.shape[1]
    let plane = extent(x.shape[2...])
    let values = try x.reals(T.self)
    let shape = Array(x.shape.prefix(2)) + Array(repeating: 1, count: x.rank - 2)
    var y: [T]
    if let reduction {
      let geometry = WindowGeometry(
        input: [plane], kernel: [max(plane, 1)], strides: [1], dilations: [1], padBegin: [0], padEnd: [0], output: [1])
      y = WindowPool.reduce(reduction, values, planes: planes, geometry)
    } else {
      y = (0..<planes).map { number in
        values[(number * plane)..<((number + 1) * plane)].reduce(-.infinity) { $1 > $0 || $1.isNaN ? $1 : $0 }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  static func infer(_ inputs: [InferredValue?]) -> [InferredValue?] {
    [
      InferredValue(
        inputs.elementType(0),
        extents: inputs.extents(0).map { $0.prefix(2) + Array(repeating: Extent(1), count: max($0.count - 2, 0)) })
    ]
  }
}
