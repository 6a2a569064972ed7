import ONNXTensor

/// Elements of X where the condition holds, of Y elsewhere, all broadcast. Opsets 9–16.
package enum Where: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let (condition, x, y) = (try inputs[0], try inputs[1], try inputs[2])
      guard condition.elementType == .bool else { throw OperatorError("the condition is not bool") }
      try requireSameType([x, y])
      return try DenseElements.apply([x, y]) { parts in
        try select(condition, parts[0], parts[1], context)
      }
    }
  }

  private static func select(
    _ condition: Tensor, _ x: Tensor, _ y: Tensor, _ context: EvaluationContext
  ) throws -> Tensor {
    switch x.elementType.bitWidth {
    case 8: try select(condition, x, y, UInt8.self, context)
    case 16: try select(condition, x, y, UInt16.self, context)
    case 32: try select(condition, x, y, UInt32.self, context)
    case 64: try select(condition, x, y, UInt64.self, context)
    default: throw unsupported(x.elementType)
    }
  }

  private static func select<T: TensorElement>(
    _ condition: Tensor, _ x: Tensor, _ y: Tensor, _: T.Type, _ context: EvaluationContext
  ) throws -> Tensor {
    let loop = try BroadcastLoop([condition.shape, x.shape, y.shape], result: x.elementType)
    let (c, a, b) = (loop.steps[0], loop.steps[1], loop.steps[2])
    return condition.withElements(UInt8.self) { test in
      x.withElements(T.self) { left in
        y.withElements(T.self) { right in
          Tensor(of: T.self, as: x.elementType, shape: loop.shape, pool: context.pool) { out in
            loop.forEachRunOfAll { o, offsets in
              for k in 0..<loop.inner {
                out[o + k] = test[offsets[0] + k * c] != 0 ? left[offsets[1] + k * a] : right[offsets[2] + k * b]
              }
            }
          }
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let type = ShapeInference.input(inputs, 1)?.elementType ?? ShapeInference.input(inputs, 2)?.elementType
    return try ShapeInference.broadcast(inputs, as: type)
  }

  package static var quantization: QuantizationTraits { .none }
}
