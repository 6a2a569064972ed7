import ONNXGraph
import ONNXTensor

/// Crops or pads with zeros around the centre to the extents of the second input. Opset 18.
package enum CenterCropPad: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = try node.ints("axes")
    return .tensors { inputs, context in
      let input = try inputs[0]
      let target = try inputs[1].integers("the shape")
      let axes = try ShapeArithmetic.axes(attribute ?? Array(0..<input.rank), rank: input.rank)
      guard target.count == axes.count else { throw OperatorError("\(target.count) extents for \(axes.count) axes") }
      var shape = input.shape
      for (axis, extent) in zip(axes, target) { shape[axis] = extent }
      try ShapeArithmetic.check(shape, input.elementType)
      if input.elementType == .string { throw unsupported(.string) }
      return try DenseElements.apply(input) { x in
        let strides = ShapeArithmetic.strides(shape)
        let own = ShapeArithmetic.strides(x.shape)
        var (from, to) = (0, 0)
        var extents = x.shape
        for axis in axes {
          let difference = shape[axis] - x.shape[axis]
          if difference >= 0 { to += difference / 2 * strides[axis] } else { from += -difference / 2 * own[axis] }
          extents[axis] = min(shape[axis], x.shape[axis])
        }
        return x.withBytes { source in
          Tensor(x.elementType, shape: shape, pool: context.pool) { out in
            out.initializeMemory(as: UInt8.self, repeating: 0)
            guard let source = source.baseAddress, let target = out.baseAddress, !extents.contains(0) else { return }
            StridedCopy(extents: extents, sourceStrides: own, targetStrides: strides).run(
              elementBytes: x.elementBytes, from: source + from * x.elementBytes, to: target + to * x.elementBytes)
          }
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let x = ShapeInference.input(inputs, 0)
    guard var dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    let axes = try ShapeArithmetic.axes(node.ints("axes") ?? Array(0..<dims.count), rank: dims.count)
    let target = ShapeInference.integers(inputs, 1)
    for (index, axis) in axes.enumerated() {
      dims[axis] = target.flatMap { index < $0.count ? .known($0[index]) : nil } ?? .unknown
    }
    return [.tensor(x?.elementType, dimensions: dims)]
  }

  package static var quantization: QuantizationTraits { .movement }
}
