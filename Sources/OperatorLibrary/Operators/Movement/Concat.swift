import ONNXTensor

/// Tensors one after the other on `axis`. Opsets 1–13; the default axis of opset 1 is 1.
package enum Concat: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try attribute(node)
    return .tensors { inputs, context in
      try concatenate((0..<inputs.count).map { try inputs[$0] }, axis: axis, context)
    }
  }

  private static func attribute(_ node: OperatorNode) throws -> Int {
    if let axis = try node.int("axis") { return axis }
    guard node.opset < 4 else { throw OperatorError("attribute 'axis' is missing") }
    return 1
  }

  static func concatenate(_ tensors: [Tensor], axis: Int, _ context: EvaluationContext) throws -> Tensor {
    guard let first = tensors.first else { throw OperatorError("there are no inputs") }
    let axis = try ShapeArithmetic.axis(axis, rank: first.rank)
    var shape = first.shape
    for tensor in tensors.dropFirst() {
      var other = tensor.shape
      guard other.count == shape.count else {
        throw OperatorError("inputs of ranks \(shape.count) and \(other.count) cannot be concatenated")
      }
      let extent = other[axis]
      other[axis] = shape[axis]
      guard other == shape else {
        throw OperatorError("shapes \(first.shape) and \(tensor.shape) differ beside axis \(axis)")
      }
      shape[axis] = try ShapeArithmetic.sum(shape[axis], extent)
    }
    try ShapeArithmetic.check(shape, first.elementType)
    if tensors.count == 1 { return first }
    return try DenseElements.apply(tensors) { parts in
      let size = parts[0].elementBytes
      let outer = shape[..<axis].reduce(1, &*)
      let inner = shape[(axis + 1)...].reduce(1, &*) * size
      let row = shape[axis] * inner
      return Tensor(parts[0].elementType, shape: shape, pool: context.pool) { out in
        guard let target = out.baseAddress, out.count > 0 else { return }
        var start = 0
        for part in parts {
          let run = part.shape[axis] * inner
          part.withBytes { bytes in
            guard run > 0, let source = bytes.baseAddress else { return }
            for index in 0..<outer {
              (target + index * row + start).copyMemory(from: source + index * run, byteCount: run)
            }
          }
          start += run
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let type = inputs.lazy.compactMap { $0?.elementType }.first
    guard var dims = inputs.lazy.compactMap({ $0?.dimensions }).first else { return [.tensor(type, dimensions: nil)] }
    let axis = try ShapeArithmetic.axis(attribute(node), rank: dims.count)
    var total: Int? = 0
    for input in inputs {
      guard let other = input?.dimensions else {
        total = nil
        continue
      }
      guard other.count == dims.count else { throw OperatorError("the inputs have different ranks") }
      if let sum = total, let extent = other[axis].known {
        total = try ShapeArithmetic.sum(sum, extent)
      } else {
        total = nil
      }
      for index in dims.indices where index != axis {
        if let a = dims[index].known, let b = other[index].known, a != b {
          throw OperatorError("the inputs differ beside axis \(axis)")
        }
        if dims[index].known == nil, other[index].known != nil { dims[index] = other[index] }
      }
    }
    dims[axis] = inputs.count == 1 ? dims[axis] : total.map(Dimension.known) ?? .unknown
    return [.tensor(type, dimensions: dims)]
  }

  package static var quantization: QuantizationTraits { .elementwise }
}
