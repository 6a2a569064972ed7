import FloatKernels
import ONNXGraph
import ONNXTensor

/// Convolution over one or more spatial axes, grouped or not, with optional bias.
///
/// Opsets 1, 11, 22. `SAME_*` follows opset 11: the output is the input extent over the stride, rounded up.
enum Conv: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try prepare(node, activation: nil, residualInput: nil) }

  /// With what a fused node adds: an activation at the end, and an input that is added before it.
  static func prepare(_ node: OperatorNode, activation: Activation?, residualInput: Int?) throws -> Kernel {
    let attributes = try ConvolutionGeometry.Attributes(node)
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return .tensors { inputs, context in
      let x = try inputs[0]
      let w = try inputs[1]
      try w.require(x.elementType, "the weight")
      let shape = try ConvolutionGeometry(attributes, x: x.shape, w: w.shape)
      let bias = try inputs.optional(2)
      try bias?.require(shape: [shape.outChannels], "the bias")
      try bias?.require(x.elementType, "the bias")
      let residual = try residualInput.flatMap { try inputs.optional($0) }
      try residual?.require(shape: shape.output, "the added input")
      try residual?.require(x.elementType, "the added input")
      try CheckedSize.check(shape.output, of: x.elementType)
      if x.elementType == .float32, shape.geometry.rank <= 3, activation == nil || activation?.function != nil {
        return try convolve(shape, x, w, bias, residual, activation?.function ?? .identity, cache, context)
      }
      return try run(try x.elementType.computeType(), x, w, bias, residual, shape, activation)
    }
  }

  static func fuse(_ node: OperatorNode, activation: UnaryFunction) throws -> FusedKernel.Body {
    let attributes = try ConvolutionGeometry.Attributes(node)
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return { inputs, addends, context in
      let x = try inputs[0]
      let w = try inputs[1]
      let own = try inputs.optional(2)
      guard x.elementType == .float32, w.elementType == .float32, own?.elementType ?? .float32 == .float32 else {
        return nil
      }
      let shape = try ConvolutionGeometry(attributes, x: x.shape, w: w.shape)
      try own?.require(shape: [shape.outChannels], "the bias")
      let channels = [shape.outChannels] + shape.output.dropFirst(2).map { _ in 1 }
      guard shape.geometry.rank <= 3,
        let tail = FusedTail(bias: own, addends, output: shape.output, biasShape: channels)
      else { return nil }
      try CheckedSize.check(shape.output, of: .float32)
      return try convolve(shape, x, w, tail.bias, tail.residual, activation, cache, context)
    }
  }

  private static func convolve(
    _ shape: ConvolutionGeometry, _ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ residual: Tensor?,
    _ activation: UnaryFunction, _ cache: PackedWeightCache?, _ context: EvaluationContext
  ) throws -> Tensor {
    let backend = context.backend
    let sizes = shape.kernelShape
    func pack() throws -> PackedWeights {
      try w.withElements(Float.self) { try backend.packConvolution(sizes, weights: $0) }
    }
    let weights = try cache?.weights(for: w.shape + sizes.strides + sizes.dilations + sizes.padBegin, pack) ?? pack()
    return try context.tensor(of: Float.self, shape: shape.output) { y in
      try x.withElements(Float.self) { x in
        try Tensor.withFloats(bias) { bias in
          try Tensor.withFloats(residual) { residual in
            try backend.convolve(
              sizes, x, weights, into: y,
              epilogue: Epilogue(biasRow: bias, residual: residual, activation: activation))
          }
        }
      }
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ residual: Tensor?, _ shape: ConvolutionGeometry,
    _ activation: Activation?
  ) throws -> Tensor {
    var y = shape.convolve(try x.reals(T.self), try w.reals(T.self), bias: try bias?.reals(T.self))
    if let residual {
      let added = try residual.reals(T.self)
      for index in y.indices { y[index] += added[index] }
    }
    if let activation { for index in y.indices { y[index] = activation.apply(y[index]) } }
    return try Tensor(reals: y, as: x.elementType, shape: shape.output)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(inputs.elementType(0), extents: try inferExtents(node, x: inputs.extents(0), w: inputs.extents(1)))]
  }

  static func inferExtents(_ node: OperatorNode, x: [Extent]?, w: [Extent]?) throws -> [Extent]? {
    guard let x, x.count >= 3 else { return nil }
    let attributes = try ConvolutionGeometry.Attributes(node)
    let kernel =
      w.map { Array($0.dropFirst(2)) } ?? attributes.window.kernel?.map { Extent($0) }
      ?? Array(repeating: .unknown, count: x.count - 2)
    return [x[0], w?.first ?? .unknown]
      + WindowGeometry.inferredOutput(attributes.window, input: Array(x.dropFirst(2)), kernel: kernel)
  }

  static var quantization: QuantizationTraits { QuantizationTraits(.weighted, weightInput: 1, biasInput: 2) }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard inputs.count > 1, let w = inputs[1], let y = outputs.first ?? nil, let channels = w.first, channels > 0 else {
      return 0
    }
    return extent(y) &* (extent(w) / channels)
  }
}

/// The checked shapes of a convolution.
struct ConvolutionGeometry {
  struct Attributes {
    let window: WindowGeometry.Attributes
    let group: Int

    init(_ node: OperatorNode) throws {
      window = try WindowGeometry.Attributes(node)
      group = try node.int("group", default: 1)
      guard group >= 1 else { throw OperatorError("attribute 'group' is \(group)") }
    }
  }

  let batch: Int
  let group: Int
  let inChannels: Int
  let outChannels: Int
  let geometry: WindowGeometry
  var output: [Int] { [batch, outChannels] + geometry.output }

  init(_ attributes: Attributes, x: [Int], w: [Int]) throws {
    guard x.count >= 3, w.count == x.count else {
      throw OperatorError("input of shape \(x) and weight of shape \(w): both need the same rank of at least 3")
    }
    (batch, inChannels, outChannels, group) = (x[0], x[1], w[0], attributes.group)
    guard inChannels == w[1] &* group, inChannels % group == 0, outChannels % group == 0 else {
      throw OperatorError("\(x[1]) input channels, weight \(w) and group \(group) do not fit together")
    }
    geometry = try WindowGeometry(attributes.window, input: Array(x.dropFirst(2)), kernel: Array(w.dropFirst(2)))
  }

  /// The shape as the float32 kernels take it.
  var kernelShape: ConvolutionShape {
    ConvolutionShape(
      batch: batch, groups: group, inChannels: inChannels, outChannels: outChannels, input: geometry.input,
      kernel: geometry.kernel, strides: geometry.strides, dilations: geometry.dilations, padBegin: geometry.padBegin,
      output: geometry.output)
  }

  /// The convolution by its definition, for types and ranks without a kernel of their own.
  func convolve<T: ComputeElement>(_ x: [T], _ w: [T], bias: [T]?) -> [T] {
    let plane = extent(geometry.input)
    let outPlane = geometry.outputCount
    let kernelCount = geometry.kernelCount
    let inPerGroup = inChannels / group
    let outPerGroup = outChannels / group
    var y = [T](repeating: .zero, count: batch * outChannels * outPlane)
    guard !y.isEmpty else { return y }
    var taps: [(kernel: Int, offset: Int)] = []
    var position = [Int](repeating: 0, count: geometry.rank)
    x.withUnsafeBufferPointer { x in
      w.withUnsafeBufferPointer { w in
        y.withUnsafeMutableBufferPointer { y in
          for out in 0..<outPlane {
            geometry.taps(at: position, into: &taps)
            for n in 0..<batch {
              for channel in 0..<outChannels {
                let first = n * inChannels + channel / outPerGroup * inPerGroup
                var sum = bias.map { $0[channel] } ?? .zero
                for inner in 0..<inPerGroup {
                  let source = (first + inner) * plane
                  let weight = (channel * inPerGroup + inner) * kernelCount
                  for tap in taps { T.accumulate(&sum, x[source + tap.offset], w[weight + tap.kernel]) }
                }
                y[(n * outChannels + channel) * outPlane + out] = sum
              }
            }
            advance(&position, in: geometry.output)
          }
        }
      }
    }
    return y
  }
}
