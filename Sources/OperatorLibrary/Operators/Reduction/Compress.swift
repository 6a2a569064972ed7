import ONNXTensor

/// The slices on `axis` (without it: the elements) where the condition holds. Opsets 9–28.
package enum Compress: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = try node.int("axis")
    return .tensors { inputs, context in
      let condition = try inputs[1]
      guard condition.elementType == .bool, condition.rank == 1 else {
        throw OperatorError("the condition must be a vector of bool")
      }
      var x = try inputs[0]
      if attribute == nil { x = x.reshaped([x.count]) }
      let axis = try ShapeArithmetic.axis(attribute ?? 0, rank: x.rank)
      let flags = condition.array(UInt8.self)
      guard flags.count <= x.shape[axis] else {
        throw OperatorError("\(flags.count) conditions for \(x.shape[axis]) slices")
      }
      let chosen = flags.indices.filter { flags[$0] != 0 }
      return try DenseElements.apply(x) { $0.taking(chosen, axis: axis, as: [chosen.count], pool: context.pool) }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let x = ShapeInference.input(inputs, 0)
    guard let axis = try node.int("axis") else { return [.tensor(x?.elementType, dimensions: [.unknown])] }
    guard var dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    dims[try ShapeArithmetic.axis(axis, rank: dims.count)] = .unknown
    return [.tensor(x?.elementType, dimensions: dims)]
  }

  package static var quantization: QuantizationTraits { .movement }
}
