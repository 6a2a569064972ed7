import FloatKernels
import ONNXGraph
import ONNXTensor

/// `MatMul` of operands whose last two axes may be exchanged, times alpha.
enum FusedMatMul: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let alpha = try node.float("alpha", default: 1)
    let transA = try node.bool("transA", default: false)
    let transB = try node.bool("transB", default: false)
    for name in ["transBatchA", "transBatchB"] where try node.bool(name, default: false) {
      throw OperatorError("attribute '\(name)' is not supported")
    }
    return .tensors { inputs, context in
      let a = try transposed(try inputs[0], transA, context)
      let b = try transposed(try inputs[1], transB, context)
      try b.require(a.elementType, "input 1")
      if a.elementType == .float32 {
        let shape = try MatrixProductShape(a: a.shape, b: b.shape)
        try CheckedSize.check(shape.output, of: .float32)
        return try shape.multiplyFloats(a, b, alpha: alpha, nil, context)
      }
      let product = try MatMul.multiply(a, b, nil, context)
      let values = try product.reals(Double.self).map { $0 * Double(alpha) }
      return try Tensor(reals: values, as: product.elementType, shape: product.shape)
    }
  }

  private static func transposed(_ x: Tensor, _ isTransposed: Bool, _ context: EvaluationContext) throws -> Tensor {
    guard isTransposed, x.rank >= 2 else { return x }
    let strides = rowMajorStrides(x.shape)
    var order = Array(x.shape.indices)
    order.swapAt(x.rank - 1, x.rank - 2)
    return try OffsetGather(tables: order.map { OffsetGather.axis(count: x.shape[$0], stride: strides[$0]) })(
      x, context)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    func extents(_ index: Int, _ name: String) throws -> [Extent]? {
      guard var extents = inputs.extents(index) else { return nil }
      if try node.bool(name, default: false), extents.count >= 2 {
        extents.swapAt(extents.count - 1, extents.count - 2)
      }
      return extents
    }
    return [
      InferredValue(
        inputs.elementType(0), extents: MatMul.inferExtents(try extents(0, "transA"), try extents(1, "transB")))
    ]
  }

  static var quantization: QuantizationTraits { MatMul.quantization }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard var a = inputs.first ?? nil else { return 0 }
    if node.node.int("transA") ?? 0 != 0, a.count >= 2 { a.swapAt(a.count - 1, a.count - 2) }
    return MatMul.macs(node, inputs: [a], outputs: outputs)
  }
}
