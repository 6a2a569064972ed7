import FloatKernels
import ONNXGraph
import ONNXTensor

/// (x - mean) / sqrt(variance + epsilon) * scale + bias over the axes from `axis` on. Opset 17.
enum LayerNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let rows = try RowNormalization(node)
    return Kernel { values, context in try rows.run(values, context) }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let stash = ElementType(rawValue: Int32(truncatingIfNeeded: try node.int("stash_type", default: 1))) ?? .float32
    guard let x = inputs.extents(0) else {
      return [inputs.like(0), InferredValue(stash, extents: nil), InferredValue(stash, extents: nil)]
    }
    let axis = try CheckedSize.axis(try node.int("axis", default: -1), rank: x.count)
    let statistics = InferredValue(stash, extents: x.indices.map { $0 < axis ? x[$0] : Extent(1) })
    return [inputs.like(0), statistics, statistics]
  }

  static var quantization: QuantizationTraits { .unary }
}

/// x / sqrt(mean of squares + epsilon) * scale over the axes from `axis` on. Opset 23.
enum RMSNormalization: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    var rows = try RowNormalization(node)
    rows.isRootMeanSquare = true
    return Kernel { [rows] values, context in try rows.run(values, context) }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }

  static var quantization: QuantizationTraits { .unary }
}

/// Normalization of rows: all elements of the trailing axes together.
struct RowNormalization {
  var axis: Int
  var epsilon: Float
  var stashType: ElementType
  var isRootMeanSquare = false

  init(_ node: OperatorNode) throws {
    axis = try node.int("axis", default: -1)
    epsilon = try node.float("epsilon", default: 1e-5)
    guard let type = ElementType(rawValue: Int32(truncatingIfNeeded: try node.int("stash_type", default: 1))) else {
      throw OperatorError("attribute 'stash_type' is no type")
    }
    _ = try type.computeType(what: "attribute 'stash_type'")
    stashType = type
  }

  func run(_ values: [RuntimeValue?], _ context: EvaluationContext) throws -> [RuntimeValue?] {
    let inputs = TensorInputs(values)
    let x = try inputs[0]
    _ = try x.elementType.computeType()
    let axis = try CheckedSize.axis(axis, rank: x.rank)
    let scale = try inputs[1]
    let bias = isRootMeanSquare ? nil : try inputs.optional(2)
    for (name, parameter) in [("scale", scale), ("bias", bias)] {
      if let parameter, try broadcastShape(parameter.shape, x.shape) != x.shape {
        throw OperatorError("the \(name) of shape \(parameter.shape) does not broadcast to \(x.shape)")
      }
    }
    let row = Array(x.shape[axis...])
    if x.elementType == .float32, stashType == .float32, scale.elementType == .float32, scale.shape == row,
      bias == nil || (bias?.elementType == .float32 && bias?.shape == row)
    {
      return try runFloats(x, axis, scale, bias, context)
    }
    let type = try (x.elementType == .float64 || stashType == .float64 ? ElementType.float64 : .float32).computeType()
    return try run(type, x, axis, scale, bias, outputs: context.outputCount)
  }

  private func runFloats(
    _ x: Tensor, _ axis: Int, _ scale: Tensor, _ bias: Tensor?, _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let rows = extent(x.shape[..<axis])
    var means = [Float](repeating: 0, count: rows)
    var inverses = means
    let y = try context.tensor(of: Float.self, shape: x.shape) { y in
      try x.withElements(Float.self) { x in
        try scale.withElements(Float.self) { scale in
          try Tensor.withFloats(bias) { bias in
            try means.withUnsafeMutableBufferPointer { means in
              try inverses.withUnsafeMutableBufferPointer { inverses in
                try context.backend.layerNormalization(
                  rms: isRootMeanSquare, rows: rows, count: scale.count, epsilon: epsilon, x, scale: scale, bias: bias,
                  into: y, means: isRootMeanSquare ? nil : means, inverses: inverses)
              }
            }
          }
        }
      }
    }
    let shape = x.shape[..<axis] + Array(repeating: 1, count: x.rank - axis)
    return [.tensor(y), .tensor(Tensor(means, shape: Array(shape))), .tensor(Tensor(inverses, shape: Array(shape)))]
  }

  @_specialize(where T == Float)
  private func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ axis: Int, _ scale: Tensor, _ bias: Tensor?, outputs: Int
  ) throws -> [RuntimeValue?] {
    var y = try x.reals(T.self)
    let rows = extent(x.shape[..<axis])
    let count = extent(x.shape[axis...])
    var means = [T](repeating: 0, count: rows)
    var inverses = [T](repeating: 0, count: rows)
    for row in 0..<rows {
      let range = row * count..<(row + 1) * count
      if !isRootMeanSquare { means[row] = y[range].reduce(0, +) / T(count) }
      var sum: T = 0
      for index in range {
        y[index] -= means[row]
        T.accumulate(&sum, y[index], y[index])
      }
      inverses[row] = 1 / (sum / T(count) + T(epsilon)).squareRoot()
      for index in range { y[index] *= inverses[row] }
    }
    // Stage one ends in the type of x when that is narrower than the arithmetic.
    if x.elementType == .float16 || x.elementType == .bfloat16 {
      y = try Tensor(reals: y, as: x.elementType, shape: x.shape).reals(T.self)
    }
    try Self.affine(&y, x.shape, scale, bias)
    let statistics = try [means, inverses].prefix(max(outputs - 1, 0)).map { values -> RuntimeValue? in
      .tensor(
        try Tensor(
          reals: values, as: stashType, shape: x.shape[..<axis] + Array(repeating: 1, count: x.rank - axis)))
    }
    return [.tensor(try Tensor(reals: y, as: x.elementType, shape: x.shape))] + statistics
  }

  /// y = y * scale + bias, both broadcast.
  private static func affine<T: ComputeReal>(_ y: inout [T], _ shape: [Int], _ scale: Tensor, _ bias: Tensor?) throws {
    let factors = try scale.reals(T.self)
    let shifts = try bias?.reals(T.self)
    let scaleStrides = broadcastStrides(scale.shape, to: shape)
    let biasStrides = broadcastStrides(bias?.shape ?? [], to: shape)
    var index = [Int](repeating: 0, count: shape.count)
    for number in y.indices {
      var (s, b) = (0, 0)
      for axis in shape.indices {
        s += index[axis] * scaleStrides[axis]
        b += index[axis] * biasStrides[axis]
      }
      y[number] = y[number] * factors[s] + (shifts?[b] ?? 0)
      advance(&index, in: shape)
    }
  }
}
