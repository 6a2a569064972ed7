import FloatKernels
import ONNXGraph
import ONNXTensor

/// The mean of each window, with or without the padding counted. What `ceil_mode` adds beyond the padding never counts.
///
/// Opsets 1, 7, 10, 11, 19, 22.
enum AveragePool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try WindowGeometry.Attributes(node)
    let includesPad = try node.bool("count_include_pad", default: false)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let geometry = try WindowPool.geometry(attributes, x)
      if x.elementType == .float32, geometry.rank <= 3 {
        return try WindowPool.pool(.average(includingPadding: includesPad), x, geometry, context)
      }
      return try run(try x.elementType.computeType(), x, geometry, .average(includingPad: includesPad))
    }
  }

  @_specialize(where T == Float)
  static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ geometry: WindowGeometry, _ reduction: WindowPool.Reduction
  ) throws -> Tensor {
    let shape = Array(x.shape.prefix(2)) + geometry.output
    let y = WindowPool.reduce(reduction, try x.reals(T.self), planes: x.shape[0] * x.shape[1], geometry)
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(inputs.elementType(0), extents: try WindowPool.infer(node, inputs))]
  }

  static var quantization: QuantizationTraits { .unary }
}
