import ONNXTensor

/// A function of two bools, broadcast.
protocol LogicalOperator: Operator {
  static func apply(_ a: Bool, _ b: Bool) -> Bool
}

extension LogicalOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let legacy = try LegacyBroadcast(node)
    return .tensors { inputs, context in
      let a = try inputs[0]
      let b = try legacy.align(inputs[1], to: a)
      guard a.elementType == .bool, b.elementType == .bool else {
        throw OperatorError("the inputs must be bool, not \(a.elementType.name) and \(b.elementType.name)")
      }
      return try BinaryKernel.map(a, b, UInt8.self, context) { apply($0 != 0, $1 != 0) }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    return node.opset < 7 ? ShapeInference.same(inputs, as: .bool) : try ShapeInference.broadcast(inputs, as: .bool)
  }
}

/// Logical and. Opsets 1–7.
package enum And: LogicalOperator {
  static func apply(_ a: Bool, _ b: Bool) -> Bool { a && b }
}

/// Logical or. Opsets 1–7.
package enum Or: LogicalOperator {
  static func apply(_ a: Bool, _ b: Bool) -> Bool { a || b }
}

/// Exclusive or. Opsets 1–7.
package enum Xor: LogicalOperator {
  static func apply(_ a: Bool, _ b: Bool) -> Bool { a != b }
}

/// Negation of bools. Opset 1.
package enum Not: UnaryOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let x = try inputs[0]
      guard x.elementType == .bool else { throw unsupported(x.elementType) }
      return x.withElements(UInt8.self) { source in
        Tensor(of: UInt8.self, as: .bool, shape: x.shape, pool: context.pool) { out in
          for index in source.indices { out[index] = source[index] == 0 ? 1 : 0 }
        }
      }
    }
  }

  package static var quantization: QuantizationTraits { .none }
}
