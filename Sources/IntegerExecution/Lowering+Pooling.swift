import FloatExecution
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import QuantCore

extension Lowering {
  /// The maximum commutes with quantization, which is monotone.
  func maxPool(_ node: Node, _ value: Value, _ target: QuantizationTarget) throws -> Int? {
    guard let input = node.input(0), node.outputs.compactMap({ $0 }).count == 1,
      source(input) != nil || (isPrivate(value) && isPrivate(input)), (node.int("storage_order") ?? 0) == 0
    else { return nil }
    let window = node.opType == "MaxPool" ? try poolAttributes(node) : nil
    guard node.opType == "GlobalMaxPool" || window?.attributes.kernel != nil, let moved = try integer(input, target)
    else {
      return nil
    }
    return emit(node, .integer, [moved], MaxPoolStep(window))
  }

  /// Means and sums: integer sums, then one multiplier that holds the division too.
  func average(_ node: Node, _ target: QuantizationTarget) throws -> Int? {
    guard let input = node.input(0), let operand = try operand(input) else {
      return refuse(node, "its input is not quantized")
    }
    let scale = operand.parameters.scale
    let out = target.parameters.scale
    guard FixedPointMultiplier(scale, over: out) != nil else {
      return refuse(node, "a scale is not finite and positive")
    }
    let mean = MeanScale(operand.parameters, target, options.rounding)
    if node.opType.hasPrefix("Reduce") { return try reduction(node, operand, mean) }
    let window = node.opType == "AveragePool" ? try poolAttributes(node) : nil
    guard node.opType == "GlobalAveragePool" || window?.attributes.kernel != nil else { return nil }
    let includesPadding = (node.int("count_include_pad") ?? 0) != 0
    return emit(
      node, .integer, [operand.slot], AveragePoolStep(mean, window, includesPadding: includesPadding))
  }

  private func reduction(_ node: Node, _ operand: Operand, _ mean: MeanScale) throws -> Int? {
    var axes = node.ints("axes")
    if let value = node.input(1) {
      guard let tensor = constant(value), let integers = tensor.integers else {
        return refuse(node, "its axes are computed")
      }
      axes = integers
    }
    if axes?.isEmpty ?? true, (node.int("noop_with_empty_axes") ?? 0) != 0 { return nil }
    let keeps = (node.int("keepdims") ?? 1) != 0
    let isMean = node.opType == "ReduceMean"
    return emit(
      node, .integer, [operand.slot], ReductionStep(mean, axes: axes, keepsAxes: keeps, isMean: isMean))
  }

  func poolAttributes(_ node: Node) throws -> WindowFields {
    try WindowFields(OperatorNode(node, opset: context.opsets[""] ?? 1))
  }
}

/// The elements in the order of permuted axes.
func permuted(_ tensor: Tensor, _ order: [Int]) -> Tensor {
  if order == Array(0..<tensor.rank) { return tensor }
  let shape = order.map { tensor.shape[$0] }
  var strides = [Int](repeating: 1, count: tensor.rank)
  for d in (0..<tensor.rank).dropLast().reversed() { strides[d] = strides[d + 1] * tensor.shape[d + 1] }
  let steps = order.map { strides[$0] }
  return Tensor(of: UInt8.self, shape: shape) { out in
    tensor.withElements(UInt8.self) { x in
      var index = [Int](repeating: 0, count: shape.count)
      var offset = 0
      for i in 0..<tensor.count {
        out[i] = x[offset]
        var d = shape.count - 1
        while d >= 0 {
          offset += steps[d]
          index[d] += 1
          if index[d] < shape[d] { break }
          offset -= steps[d] * shape[d]
          index[d] = 0
          d -= 1
        }
      }
    }
  }
}

/// A pool over a shape [N, C, spatial]; without attributes the window is the whole plane.
struct PoolRun {
  let geometry: ConvolutionGeometry
  let window: PoolingWindow
  let shape: [Int]
  private let laid: WindowGeometry?

  init(_ shape: [Int], _ attributes: WindowGeometry.Attributes?) throws {
    guard shape.count >= 3, shape.count <= 5 else {
      throw ExecutionError(.failed, "pools of shape \(shape) are not supported in integers")
    }
    let spatial = Array(shape[2...])
    guard let attributes else {
      laid = nil
      let input = leadingOnes(spatial)
      geometry = ConvolutionGeometry(batch: shape[0], input: input)
      window = PoolingWindow(kernel: input, stride: [1, 1, 1], dilation: [1, 1, 1], output: [1, 1, 1])
      self.shape = Array(shape[..<2]) + spatial.map { _ in 1 }
      return
    }
    let laid = try WindowGeometry(attributes, input: spatial, kernel: attributes.kernel ?? [])
    self.laid = laid
    geometry = ConvolutionGeometry(
      batch: shape[0], input: leadingOnes(spatial), begin: leadingOnes(laid.padBegin, 0),
      end: leadingOnes(laid.padEnd, 0))
    window = PoolingWindow(
      kernel: leadingOnes(laid.kernel), stride: leadingOnes(laid.strides), dilation: leadingOnes(laid.dilations),
      output: leadingOnes(laid.output))
    self.shape = Array(shape[..<2]) + laid.output
  }

  var storedShape: [Int] { IntegerTensor.storedShape(shape, channelsLast: true) }

  /// Elements of each window inside the input and its padding.
  func paddedCounts() -> [Int32] {
    guard let laid else { return [] }
    var counts: [Int32] = []
    var position = [Int](repeating: 0, count: laid.output.count)
    for _ in 0..<laid.output.reduce(1, *) {
      counts.append(Int32(clamping: laid.paddedCount(at: position)))
      var d = position.count - 1
      while d >= 0 {
        position[d] += 1
        if position[d] < laid.output[d] { break }
        position[d] = 0
        d -= 1
      }
    }
    return counts
  }
}

/// Three extents with ones (or `fill`) before the given.
func leadingOnes(_ extents: [Int], _ fill: Int = 1) -> [Int] {
  [Int](repeating: fill, count: max(0, 3 - extents.count)) + extents
}
