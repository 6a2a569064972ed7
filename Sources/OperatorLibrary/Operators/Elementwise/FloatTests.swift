import ONNXTensor

/// Whether each element is NaN. Opsets 9–20.
package enum IsNaN: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in try FloatPredicate.map(inputs[0], context) { $0.isNaN } }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: .bool)
  }
}

/// Whether each element is infinite, of the signs that the attributes ask for. Opsets 10–20.
package enum IsInf: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let negative = try node.bool("detect_negative", default: true)
    let positive = try node.bool("detect_positive", default: true)
    return .tensors { inputs, context in
      try FloatPredicate.map(inputs[0], context) { $0.isInfinite && ($0 > 0 ? positive : negative) }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: .bool)
  }
}

private enum FloatPredicate {
  static func map(_ x: Tensor, _ context: EvaluationContext, _ test: (Double) -> Bool) throws -> Tensor {
    guard x.elementType.isFloatingPoint else { throw unsupported(x.elementType) }
    if x.elementType == .float32 {
      return x.withElements(Float.self) { source in
        Tensor(of: Bool.self, shape: x.shape, pool: context.pool) { out in
          for index in source.indices { out[index] = test(Double(source[index])) }
        }
      }
    }
    return Tensor((x.doubles ?? []).map(test), shape: x.shape)
  }
}
