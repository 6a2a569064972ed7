import IntegerKernels
import ONNXGraph
import ONNXTensor

extension Lowering {
  /// ConvTranspose through the convolutions of its phases.
  func transposedConvolution(
    _ node: Node, _ input: Value, _ weightValue: Value, _ finish: LinearFinish
  ) throws -> Int? {
    guard let (tensor, quantization) = weight(weightValue) else { return refuse(node, "its weights are not quantized") }
    guard (3...5).contains(tensor.rank) else { return refuse(node, "it has \(tensor.rank - 2) spatial dimensions") }
    let groups = node.int("group") ?? 1
    let kernel = Array(tensor.shape[2...])
    let channels = tensor.shape[0]
    let (outputs, overflow) = tensor.shape[1].multipliedReportingOverflow(by: groups)
    guard groups > 0, !overflow, outputs > 0, tensor.count > 0, channels % groups == 0 else {
      return refuse(node, "its weights do not fit its groups")
    }
    let window = TransposedWindow(node)
    guard let extents = window.extents(spatial: kernel.count) else {
      return refuse(node, "its attributes do not fit its weights, or its stride is beyond 4096 phases")
    }
    guard let moved = outputsFirst(tensor, quantization, groups: groups),
      let weights = read(moved.tensor, moved.quantization, channelAxis: 0)
    else { return refuse(node, "its weights are not 8-bit integers with scales along axis 1") }
    guard
      let (description, end, inputs) = try describe(
        node, input, weights, node.input(2), finish,
        { description in
          description.channels = channels
          description.groups = groups
          description.kernel = leadingOnes(kernel)
          description.stride = extents.stride
          description.dilation = extents.dilation
        })
    else { return nil }
    let step = TransposedConvolutionStep(
      window, groups: groups, weightShape: moved.tensor.shape, { (description, end) })
    return emit(node, .integer, inputs, step)
  }

  /// Weights [channels][outputs / groups][kernel] as [outputs][channels / groups][kernel], the scales with them.
  private func outputsFirst(
    _ tensor: Tensor, _ quantization: LinearQuantization, groups: Int
  ) -> (tensor: Tensor, quantization: LinearQuantization)? {
    let own = tensor.shape[1]
    let cin = tensor.shape[0] / groups
    var scales = quantization.scales
    var zeros = quantization.zeroPoints
    if let axis = quantization.axis {
      guard (axis < 0 ? axis + tensor.rank : axis) == 1, scales.count == own else { return nil }
      scales = (0..<groups).flatMap { _ in quantization.scales }
      zeros = (0..<groups).flatMap { _ in quantization.zeroPoints }
    }
    guard let values = tensor.integers else { return nil }
    let size = tensor.shape[2...].reduce(1, *)
    var moved: [Int] = []
    moved.reserveCapacity(values.count)
    for group in 0..<groups {
      for n in 0..<own {
        for c in 0..<cin {
          let from = ((group * cin + c) * own + n) * size
          moved += values[from..<from + size]
        }
      }
    }
    let shape = [own * groups, cin] + tensor.shape[2...]
    let isUnsigned = tensor.elementType == .uint8
    guard isUnsigned || [.int8, .int4, .uint4, .int2, .uint2].contains(tensor.elementType) else { return nil }
    let result =
      isUnsigned
      ? Tensor(moved.map { UInt8(clamping: $0) }, shape: shape) : Tensor(moved.map { Int8(clamping: $0) }, shape: shape)
    return (
      result,
      LinearQuantization(
        elementType: isUnsigned ? .uint8 : .int8, scales: scales, zeroPoints: zeros,
        axis: quantization.axis == nil ? nil : 0)
    )
  }
}
