import FloatKernels
import ONNXTensor

/// Limits elements to [min, max]; where min > max all become max. NaN stays NaN. Opsets 1–13: the limits are attributes
/// before opset 11, scalar inputs since.
package enum Clip: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let minimum = node.opset < 11 ? try node.float("min") : nil
    let maximum = node.opset < 11 ? try node.float("max") : nil
    return .tensors { inputs, context in
      let x = try inputs[0]
      if x.elementType.isFloatingPoint {
        let low = try minimum.map(Double.init) ?? limit(inputs, 1, x).flatMap { $0.doubles?.first }
        let high = try maximum.map(Double.init) ?? limit(inputs, 2, x).flatMap { $0.doubles?.first }
        return try real(x, low ?? -.infinity, high ?? .infinity, context)
      }
      return try integer(x, limit(inputs, 1, x), limit(inputs, 2, x), context)
    }
  }

  /// The float32 kernel where the limits are known when the plan is made.
  static func function(_ node: OperatorNode) throws -> UnaryFunction? {
    func limit(_ name: String, _ index: Int) throws -> Float?? {
      if node.opset < 11 { return .some(try node.float(name)) }
      guard node.hasInput(index) else { return .some(nil) }
      guard let limit = node.constant(index), limit.elementType == .float32, limit.count == 1 else { return nil }
      return limit.floats?.first
    }
    guard let low = try limit("min", 1), let high = try limit("max", 2) else { return nil }
    return .clip(low ?? -.infinity, high ?? .infinity)
  }

  private static func limit(_ inputs: TensorInputs, _ index: Int, _ x: Tensor) throws -> Tensor? {
    guard let limit = try inputs.optional(index) else { return nil }
    guard limit.count == 1 else { throw OperatorError("limit \(index) has shape \(limit.shape), it must be a scalar") }
    try requireSameType([x, limit])
    return limit
  }

  private static func real(_ x: Tensor, _ low: Double, _ high: Double, _ context: EvaluationContext) throws -> Tensor {
    if low == -.infinity && high == .infinity { return x }
    return try RealFunction(.clip(Float(low), Float(high))) { $0.isNaN ? $0 : min(max($0, low), high) }
      .apply(x, context)
  }

  private static func integer(
    _ x: Tensor, _ low: Tensor?, _ high: Tensor?, _ context: EvaluationContext
  ) throws -> Tensor {
    var result = x
    if let low { result = try Max.Step.map(result, low.reshaped([]), context) }
    if let high { result = try Min.Step.map(result, high.reshaped([]), context) }
    guard x.elementType.isInteger else { throw unsupported(x.elementType) }
    return result
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.folded(Self.self, node, inputs) ?? ShapeInference.same(inputs)
  }

  package static var quantization: QuantizationTraits { .activation }
}
