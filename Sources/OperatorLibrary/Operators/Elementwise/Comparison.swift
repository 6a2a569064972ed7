import ONNXTensor

/// A test of two elements of one ordered type.
protocol ElementComparison: Operator {
  static func test<T: Comparable>(_ a: T, _ b: T) -> Bool
}

extension ElementComparison {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let legacy = try LegacyBroadcast(node)
    return .tensors { inputs, context in
      let a = try inputs[0]
      return try map(a, legacy.align(inputs[1], to: a), context)
    }
  }

  private static func map(_ a: Tensor, _ b: Tensor, _ context: EvaluationContext) throws -> Tensor {
    try requireSameType([a, b])
    switch a.elementType {
    case .float32: return try BinaryKernel.map(a, b, Float.self, context) { test($0, $1) }
    case .float64: return try BinaryKernel.map(a, b, Double.self, context) { test($0, $1) }
    case .float16, .bfloat16: return try map(a.widened(), b.widened(), context)
    case .int8: return try BinaryKernel.map(a, b, Int8.self, context) { test($0, $1) }
    case .uint8, .bool: return try BinaryKernel.map(a, b, UInt8.self, context) { test($0, $1) }
    case .int16: return try BinaryKernel.map(a, b, Int16.self, context) { test($0, $1) }
    case .uint16: return try BinaryKernel.map(a, b, UInt16.self, context) { test($0, $1) }
    case .int32: return try BinaryKernel.map(a, b, Int32.self, context) { test($0, $1) }
    case .uint32: return try BinaryKernel.map(a, b, UInt32.self, context) { test($0, $1) }
    case .int64: return try BinaryKernel.map(a, b, Int64.self, context) { test($0, $1) }
    case .uint64: return try BinaryKernel.map(a, b, UInt64.self, context) { test($0, $1) }
    case .string: return try strings(a, b)
    default: throw unsupported(a.elementType)
    }
  }

  private static func strings(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let loop = try BroadcastLoop([a.shape, b.shape], result: .bool)
    let (x, y) = (a.strings ?? [], b.strings ?? [])
    return Tensor(of: Bool.self, shape: loop.shape) { out in
      loop.forEachRun { o, i, j in
        for k in 0..<loop.inner {
          let (left, right) = (x[i + k * loop.steps[0]], y[j + k * loop.steps[1]])
          let order = left == right ? 0 : left.lexicographicallyPrecedes(right) ? -1 : 1
          out[o + k] = test(order, 0)
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    return node.opset < 7 ? ShapeInference.same(inputs, as: .bool) : try ShapeInference.broadcast(inputs, as: .bool)
  }
}

/// a == b of numbers, bools and strings. Opsets 1–19.
package enum Equal: ElementComparison {
  static func test<T: Comparable>(_ a: T, _ b: T) -> Bool { a == b }
}

/// a > b. Opsets 1–13.
package enum Greater: ElementComparison {
  static func test<T: Comparable>(_ a: T, _ b: T) -> Bool { a > b }
}

/// a >= b. Opsets 12–16.
package enum GreaterOrEqual: ElementComparison {
  static func test<T: Comparable>(_ a: T, _ b: T) -> Bool { a >= b }
}

/// a < b. Opsets 1–13.
package enum Less: ElementComparison {
  static func test<T: Comparable>(_ a: T, _ b: T) -> Bool { a < b }
}

/// a <= b. Opsets 12–16.
package enum LessOrEqual: ElementComparison {
  static func test<T: Comparable>(_ a: T, _ b: T) -> Bool { a <= b }
}
