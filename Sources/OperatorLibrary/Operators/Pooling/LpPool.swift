import FloatKernels
import ONNXGraph
import ONNXTensor

/// The p-norm of each window. Opsets 1 (p a float), 2, 11, 18, 22.
enum LpPool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try WindowGeometry.Attributes(node)
    let p = try exponent(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let geometry = try WindowPool.geometry(attributes, x)
      if x.elementType == .float32, geometry.rank <= 3, p <= 2 {
        return try WindowPool.pool(.norm(p: p), x, geometry, context)
      }
      return try AveragePool.run(try x.elementType.computeType(), x, geometry, .norm(p: p))
    }
  }

  /// The attribute `p`, whose first version was a float.
  static func exponent(_ node: OperatorNode) throws -> Int {
    if case .float(let value) = node.node.attribute("p") {
      guard let p = Int(exactly: value), p >= 1 else { throw OperatorError("attribute 'p' is \(value)") }
      return p
    }
    let p = try node.int("p", default: 2)
    guard p >= 1 else { throw OperatorError("attribute 'p' is \(p)") }
    return p
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try AveragePool.infer(node, inputs)
  }

  static var quantization: QuantizationTraits { .unary }
}
