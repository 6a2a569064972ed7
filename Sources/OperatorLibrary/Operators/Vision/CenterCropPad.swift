import ONNXGraph
import ONNXTensor

/// Crops or pads axes around their middle to given extents; odd remainders go to the end. Opset 18.
enum CenterCropPad: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axes = try node.ints("axes")
    return .tensors { inputs, context in
      let x = try inputs[0]
      guard let targets = try inputs[1].integers else { throw OperatorError("the target shape is not of integers") }
      let axes = try (axes ?? Array(x.shape.indices)).map { try CheckedSize.axis($0, rank: x.rank) }
      guard axes.count == targets.count, targets.allSatisfy({ $0 >= 0 }) else {
        throw OperatorError("target shape \(targets) does not fit axes \(axes)")
      }
      var shape = x.shape
      for (axis, target) in zip(axes, targets) { shape[axis] = target }
      try CheckedSize.check(shape, of: x.elementType)
      let strides = rowMajorStrides(x.shape)
      let tables = x.shape.indices.map { axis in
        let (from, to) = (x.shape[axis], shape[axis])
        let shift = to <= from ? (from - to) / 2 : -((to - from) / 2)
        return (0..<to).map { index in
          let source = index + shift
          return source >= 0 && source < from ? source * strides[axis] : OffsetGather.fill
        }
      }
      return try OffsetGather(tables: tables)(x, context)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let x = inputs.extents(0) else { return [InferredValue(inputs.elementType(0), extents: nil)] }
    let axes = try (try node.ints("axes") ?? Array(x.indices)).map { try CheckedSize.axis($0, rank: x.count) }
    var extents = x
    let targets = inputs.constant(1)?.integers
    for (number, axis) in axes.enumerated() { extents[axis] = targets?[safe: number].map { Extent($0) } ?? .unknown }
    return [InferredValue(inputs.elementType(0), extents: extents)]
  }

  static var quantization: QuantizationTraits { .movement }
}
