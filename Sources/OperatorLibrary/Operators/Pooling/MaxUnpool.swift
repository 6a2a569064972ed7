import ONNXGraph
import ONNXTensor

/// Puts the results of a `MaxPool` back where its indices say; everything else is zero. Opsets 9, 11, 22.
enum MaxUnpool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try WindowGeometry.Attributes(node)
    guard let kernel = attributes.kernel else { throw OperatorError("attribute 'kernel_shape' is missing") }
    return .tensors { inputs, context in
      let x = try inputs[0]
      let natural = try naturalShape(x.shape, attributes, kernel)
      guard let indices = try inputs[1].integers, indices.count == x.count else {
        throw OperatorError("the indices do not have the shape of the input")
      }
      let shape = try inputs.optional(2).map { try outputShape($0, natural) } ?? natural
      try CheckedSize.check(shape, of: x.elementType)
      _ = try CheckedSize.product(natural)
      return try run(try x.elementType.computeType(), x, indices, natural, shape)
    }
  }

  private static func naturalShape(
    _ x: [Int], _ attributes: WindowGeometry.Attributes, _ kernel: [Int]
  ) throws -> [Int] {
    let rank = x.count - 2
    guard rank >= 1 else { throw OperatorError("input 0 has shape \(x); expected rank 3 or more") }
    try WindowGeometry.check(attributes, rank: rank, kernel: kernel)
    return try Array(x.prefix(2))
      + (0..<rank).map { axis in
        let pads = attributes.pads.map { ($0[axis], $0[rank + axis]) } ?? (0, 0)
        let steps = try CheckedSize.multiply(x[2 + axis] - 1, attributes.strides?[axis] ?? 1)
        let padding = try CheckedSize.add(pads.0, pads.1)
        return max(try CheckedSize.add(try CheckedSize.add(steps, kernel[axis]), -padding), 0)
      }
  }

  private static func outputShape(_ tensor: Tensor, _ natural: [Int]) throws -> [Int] {
    guard let shape = tensor.integers, shape.count == natural.count else {
      throw OperatorError("output_shape does not have \(natural.count) elements")
    }
    return shape
  }

  /// Indices count elements of the natural shape, which lies in the corner of the output.
  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ indices: [Int], _ natural: [Int], _ shape: [Int]
  ) throws -> Tensor {
    let values = try x.reals(T.self)
    var y = [T](repeating: 0, count: extent(shape))
    let strides = rowMajorStrides(shape)
    let count = extent(natural)
    for (value, index) in zip(values, indices) {
      guard index >= 0, index < count else { throw OperatorError("index \(index) lies outside \(natural)") }
      var rest = index
      var offset = 0
      var isInside = true
      for axis in natural.indices.reversed() {
        let coordinate = rest % natural[axis]
        rest /= natural[axis]
        if coordinate >= shape[axis] { isInside = false }
        offset += coordinate * strides[axis]
      }
      if isInside { y[offset] = value }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let shape = inputs.constant(2)?.integers {
      return [InferredValue(inputs.elementType(0), extents: shape.map { Extent($0) })]
    }
    let attributes = try WindowGeometry.Attributes(node)
    guard inputs.count < 3 || inputs[2] == nil, let x = inputs.extents(0), x.count >= 3,
      let kernel = attributes.kernel
    else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    let known = try naturalShape(x.map { $0.known ?? 1 }, attributes, kernel)
    return [
      InferredValue(
        inputs.elementType(0),
        extents: x.indices.map { $0 < 2 ? x[$0] : x[$0].known == nil ? .unknown : Extent(known[$0]) })
    ]
  }
}
