import ONNXTensor

/// Uniformly distributed numbers in [low, high). Opsets 1–22.
package enum RandomUniform: ShapedRandom {
  static func distribution(_ node: OperatorNode) throws -> RandomDistribution { try .uniform(node) }
}

/// Normally distributed numbers. Opsets 1–22.
package enum RandomNormal: ShapedRandom {
  static func distribution(_ node: OperatorNode) throws -> RandomDistribution { try .normal(node) }
}

/// RandomUniform of the shape, and unless `dtype` says otherwise the type, of the input. Opsets 1–22.
package enum RandomUniformLike: RandomLike {
  static func distribution(_ node: OperatorNode) throws -> RandomDistribution { try .uniform(node) }
}

/// RandomNormal of the shape, and unless `dtype` says otherwise the type, of the input. Opsets 1–22.
package enum RandomNormalLike: RandomLike {
  static func distribution(_ node: OperatorNode) throws -> RandomDistribution { try .normal(node) }
}

protocol ShapedRandom: Operator {
  static func distribution(_ node: OperatorNode) throws -> RandomDistribution
}

extension ShapedRandom {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let (distribution, generator) = (try distribution(node), try RandomGenerator(node))
    let type = try node.elementType("dtype") ?? .float32
    guard let shape = try node.ints("shape") else { throw OperatorError("attribute 'shape' is missing") }
    return .tensors { _, _ in try distribution.tensor(generator, shape: shape, type: type) }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [.tensor(try node.elementType("dtype") ?? .float32, try node.ints("shape"))]
  }
}

protocol RandomLike: Operator {
  static func distribution(_ node: OperatorNode) throws -> RandomDistribution
}

extension RandomLike {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let (distribution, generator) = (try distribution(node), try RandomGenerator(node))
    let type = try node.elementType("dtype")
    return .tensors { inputs, _ in
      let x = try inputs[0]
      return try distribution.tensor(generator, shape: x.shape, type: type ?? x.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: try node.elementType("dtype"))
  }
}

/// 1 with the probability that each element gives, else 0. Opsets 15–22.
package enum Bernoulli: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let start = try RandomGenerator(node)
    let type = try node.elementType("dtype")
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard x.elementType.isFloatingPoint, let odds = x.doubles else { throw unsupported(x.elementType) }
      var generator = start
      let draws = odds.map { generator.uniform() < $0 ? UInt8(1) : 0 }
      return try ElementCast().apply(Tensor(draws, shape: x.shape), to: type ?? x.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: try node.elementType("dtype"))
  }
}
