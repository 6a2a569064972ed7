import FloatKernels
import ONNXGraph
import ONNXTensor

/// Transposed convolution: the gradient of `Conv` with respect to its input.
///
/// Opsets 1, 11, 22. With `output_shape` the pads follow from it; where it exceeds what the windows reach, the rest is
/// filled by the bias alone.
enum ConvTranspose: Operator {
  struct Attributes {
    let window: WindowGeometry.Attributes
    let group: Int
    let outputShape: [Int]?
    let outputPadding: [Int]?

    init(_ node: OperatorNode) throws {
      window = try WindowGeometry.Attributes(node)
      group = try node.int("group", default: 1)
      guard group >= 1 else { throw OperatorError("attribute 'group' is \(group)") }
      outputShape = try node.ints("output_shape")
      outputPadding = try node.ints("output_padding")
      if let bad = outputPadding?.first(where: { $0 < 0 }) { throw OperatorError("output_padding has value \(bad)") }
    }

    /// Pads and output extent of one axis.
    func axis(_ axis: Int, rank: Int, input: Int, kernel: Int) throws -> (begin: Int, end: Int, output: Int) {
      let stride = window.strides?[axis] ?? 1
      let dilation = window.dilations?[axis] ?? 1
      let reach = try CheckedSize.add(try CheckedSize.multiply(kernel - 1, dilation), 1)
      let natural = try CheckedSize.add(
        try CheckedSize.add(try CheckedSize.multiply(stride, max(input - 1, 0)), reach), outputPadding?[axis] ?? 0)
      var target: Int?
      if let outputShape {
        // Some exporters write batch and channels in front.
        target = outputShape[outputShape.count - rank + axis]
      } else if window.autoPad == .sameUpper || window.autoPad == .sameLower {
        target = try CheckedSize.multiply(input, stride)
      }
      guard let target else {
        let pads = window.autoPad == .explicit ? window.pads.map { ($0[axis], $0[rank + axis]) } ?? (0, 0) : (0, 0)
        let output = try CheckedSize.add(natural, -(try CheckedSize.add(pads.0, pads.1)))
        guard output >= 0 else { throw OperatorError("pads \(pads) leave nothing of an extent of \(natural)") }
        return (pads.0, pads.1, input == 0 ? 0 : output)
      }
      guard target >= 0 else { throw OperatorError("output_shape has extent \(target)") }
      let total = max(natural - target, 0)
      let half = total / 2
      return window.autoPad == .sameUpper ? (half, total - half, target) : (total - half, half, target)
    }

    func check(rank: Int, kernel: [Int]) throws {
      try WindowGeometry.check(window, rank: rank, kernel: kernel)
      if let outputShape, outputShape.count != rank && outputShape.count != rank + 2 {
        throw OperatorError("output_shape \(outputShape) does not fit \(rank) spatial axes")
      }
      if let outputPadding, outputPadding.count != rank {
        throw OperatorError("output_padding \(outputPadding) does not fit \(rank) spatial axes")
      }
    }
  }

  /// Checked shapes; `geometry` is that of the forward convolution, whose input is this operator's output.
  struct Shape {
    let batch: Int
    let group: Int
    let inChannels: Int
    let outChannels: Int
    let geometry: WindowGeometry
    var output: [Int] { [batch, outChannels] + geometry.input }

    init(_ attributes: Attributes, x: [Int], w: [Int]) throws {
      guard x.count >= 3, w.count == x.count else {
        throw OperatorError("input of shape \(x) and weight of shape \(w): both need the same rank of at least 3")
      }
      guard x[1] == w[0], x[1] % attributes.group == 0 else {
        throw OperatorError("\(x[1]) input channels, weight \(w) and group \(attributes.group) do not fit together")
      }
      (batch, inChannels, group) = (x[0], x[1], attributes.group)
      outChannels = try CheckedSize.multiply(w[1], attributes.group)
      let rank = x.count - 2
      let kernel = Array(w.dropFirst(2))
      try attributes.check(rank: rank, kernel: kernel)
      let axes = try (0..<rank).map { try attributes.axis($0, rank: rank, input: x[2 + $0], kernel: kernel[$0]) }
      geometry = WindowGeometry(
        input: axes.map(\.output), kernel: kernel,
        strides: attributes.window.strides ?? Array(repeating: 1, count: rank),
        dilations: attributes.window.dilations ?? Array(repeating: 1, count: rank),
        padBegin: axes.map(\.begin), padEnd: axes.map(\.end), output: Array(x.dropFirst(2)))
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return .tensors { inputs, context in
      let x = try inputs[0]
      let w = try inputs[1]
      try w.require(x.elementType, "the weight")
      let shape = try Shape(attributes, x: x.shape, w: w.shape)
      let bias = try inputs.optional(2)
      try bias?.require(shape: [shape.outChannels], "the bias")
      try bias?.require(x.elementType, "the bias")
      try CheckedSize.check(shape.output, of: x.elementType)
      if x.elementType == .float32, shape.geometry.rank <= 3 {
        return try convolve(shape, x, w, bias, cache, context)
      }
      return try run(try x.elementType.computeType(), x, w, bias, shape)
    }
  }

  private static func convolve(
    _ shape: Shape, _ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ cache: PackedWeightCache?, _ context: EvaluationContext
  ) throws -> Tensor {
    let backend = context.backend
    let geometry = shape.geometry
    let sizes = ConvolutionShape(
      batch: shape.batch, groups: shape.group, inChannels: shape.inChannels, outChannels: shape.outChannels,
      input: geometry.output, kernel: geometry.kernel, strides: geometry.strides, dilations: geometry.dilations,
      padBegin: geometry.padBegin, output: geometry.input)
    func pack() throws -> PackedWeights {
      try w.withElements(Float.self) { try backend.packTransposedConvolution(sizes, weights: $0) }
    }
    let weights = try cache?.weights(for: w.shape + sizes.strides + sizes.dilations + sizes.padBegin, pack) ?? pack()
    return try context.tensor(of: Float.self, shape: shape.output) { y in
      try x.withElements(Float.self) { x in
        try Tensor.withFloats(bias) {
          try backend.convolveTransposed(sizes, x, weights, into: y, epilogue: Epilogue(biasRow: $0))
        }
      }
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ shape: Shape
  ) throws -> Tensor {
    let y = scatter(shape, try x.reals(T.self), try w.reals(T.self), bias: try bias?.reals(T.self))
    return try Tensor(reals: y, as: x.elementType, shape: shape.output)
  }

  private static func scatter<T: ComputeReal>(_ shape: Shape, _ x: [T], _ w: [T], bias: [T]?) -> [T] {
    let geometry = shape.geometry
    let plane = extent(geometry.input)
    let inPlane = geometry.outputCount
    let kernelCount = geometry.kernelCount
    let inPerGroup = shape.inChannels / shape.group
    let outPerGroup = shape.outChannels / shape.group
    var y = [T](repeating: 0, count: shape.batch * shape.outChannels * plane)
    var taps: [(kernel: Int, offset: Int)] = []
    var position = [Int](repeating: 0, count: geometry.rank)
    for source in 0..<inPlane {
      geometry.taps(at: position, into: &taps)
      for n in 0..<shape.batch {
        for inner in 0..<shape.inChannels {
          let value = x[(n * shape.inChannels + inner) * inPlane + source]
          for outer in 0..<outPerGroup {
            let target = (n * shape.outChannels + inner / inPerGroup * outPerGroup + outer) * plane
            let weight = (inner * outPerGroup + outer) * kernelCount
            for tap in taps { T.accumulate(&y[target + tap.offset], value, w[weight + tap.kernel]) }
          }
        }
      }
      advance(&position, in: geometry.output)
    }
    if let bias {
      for index in y.indices { y[index] += bias[index / plane % shape.outChannels] }
    }
    return y
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let x = inputs.extents(0), x.count >= 3, let w = inputs.extents(1), w.count == x.count else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    let attributes = try Attributes(node)
    let rank = x.count - 2
    var spatial = [Extent](repeating: .unknown, count: rank)
    let kernel = (0..<rank).map { w[2 + $0].known ?? attributes.window.kernel?[safe: $0] ?? 1 }
    try attributes.check(rank: rank, kernel: kernel)
    for axis in 0..<rank {
      if let outputShape = attributes.outputShape {
        spatial[axis] = Extent(outputShape[outputShape.count - rank + axis])
      } else if let input = x[2 + axis].known, w[2 + axis].known != nil || attributes.window.kernel != nil {
        spatial[axis] = Extent(try attributes.axis(axis, rank: rank, input: input, kernel: kernel[axis]).output)
      }
    }
    let channels = w[1].known.map { Extent($0.multipliedReportingOverflow(by: attributes.group).partialValue) }
    return [InferredValue(inputs.elementType(0), extents: [x[0], channels ?? .unknown] + spatial)]
  }

  static var quantization: QuantizationTraits { QuantizationTraits(.weighted, weightInput: 1, biasInput: 2) }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard inputs.count > 1, let x = inputs[0], let w = inputs[1], let channels = w.first, channels > 0 else { return 0 }
    return extent(x) &* (extent(w) / channels)
  }
}

extension Array {
  /// The element, nil when there is none.
  subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
