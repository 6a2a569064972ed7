import ONNXGraph
import ONNXTensor

/// A tensor written in an attribute: `value`, `sparse_value` (made dense) or one of the `value_…` forms. Opsets 1–25.
package enum Constant: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let tensor = try value(node)
    return .tensors { _, _ in tensor }
  }

  private static func value(_ node: OperatorNode) throws -> Tensor {
    if let tensor = try node.tensor("value") { return tensor }
    if let number = try node.float("value_float") { return Tensor(scalar: number) }
    if let number = try node.int("value_int") { return Tensor(scalar: Int64(number)) }
    if case .string(let bytes) = node.node.attribute("value_string") { return Tensor(strings: [bytes], shape: []) }
    if let numbers = try node.floats("value_floats") { return Tensor(numbers, shape: [numbers.count]) }
    if let numbers = try node.ints("value_ints") { return Tensor(numbers.map(Int64.init), shape: [numbers.count]) }
    if let strings = try node.strings("value_strings") { return Tensor(strings: strings, shape: [strings.count]) }
    if case .sparseTensor(let sparse) = node.node.attribute("sparse_value") {
      try ShapeArithmetic.check(sparse.dims.map { Int(clamping: $0) }, sparse.values?.elementType ?? .float32)
      return try sparse.dense()
    }
    throw OperatorError("no attribute holds the value")
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let tensor = try value(node)
    let isSmall = tensor.count <= ShapeInference.largestFold
    return [InferredValue(.tensor(tensor.elementType, tensor.shape), constant: isSmall ? tensor : nil)]
  }
}

/// A tensor of the given shape filled with one value, float 0 by default. Opsets 9–25.
package enum ConstantOfShape: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let value = try value(node)
    return .tensors { inputs, context in
      let shape = try inputs[0].integers("the shape")
      try ShapeArithmetic.check(shape, value.elementType)
      return try DenseElements.apply(value.reshaped([])) { value in
        value.gathered(shape: shape, strides: shape.map { _ in 0 }, pool: context.pool)
      }
    }
  }

  private static func value(_ node: OperatorNode) throws -> Tensor {
    let value = try node.tensor("value") ?? Tensor(scalar: Float(0))
    guard value.count == 1 else { throw OperatorError("attribute 'value' has shape \(value.shape), not one element") }
    return value
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let type = try value(node).elementType
    if let shape = ShapeInference.integers(inputs, 0) { return [.tensor(type, dimensions: shape.map { .known($0) })] }
    let rank = ShapeInference.input(inputs, 0)?.staticShape?.first
    return [.tensor(type, dimensions: rank.flatMap { $0 < 64 ? Array(repeating: .unknown, count: $0) : nil })]
  }
}
