import FloatExecution
import Glibc
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import QuantCore

extension Lowering {
  /// Integer weights in the kernels' form.
  struct Weights {
    /// [outputs][depth]
    var values: [Int8]
    var zeros: [Int32]?
    var scales: [Float]
    var outputs: Int
  }

  /// A weighted operator in integers; nil, with the reason noted, where that is not possible.
  func linear(_ node: Node, _ finish: LinearFinish, bias extra: Value? = nil) throws -> Int? {
    guard let left = node.input(0), let right = node.input(1) else { return nil }
    guard source(left) != nil || movedParameters(left) != nil else {
      return refuse(node, "its input is not quantized to 8 bits with one scale")
    }
    switch node.opType {
    case "Conv": return try convolution(node, left, right, finish, extra)
    case "ConvTranspose": return extra == nil ? try transposedConvolution(node, left, right, finish) : nil
    case "Gemm": return try gemm(node, left, right, finish, extra)
    default:
      if let (tensor, _) = weight(right), tensor.rank == 2 { return try matMul(node, left, right, finish, extra) }
      return extra == nil ? try activationProduct(node, left, right, finish) : nil
    }
  }

  /// Add of a constant to a weighted operator's result: its bias.
  func biasedProduct(_ node: Node, _ finish: LinearFinish = .dequantize) throws -> Int? {
    guard node.inputs.count == 2, let left = node.input(0), let right = node.input(1) else { return nil }
    for (product, other) in [(left, right), (right, left)] {
      guard let producer = product.producer, ["Conv", "Gemm", "MatMul"].contains(producer.opType), isPrivate(product),
        constant(other) != nil, producer.input(2) == nil
      else { continue }
      if let slot = try linear(producer, finish, bias: other) { return slot }
    }
    return nil
  }

  private func convolution(
    _ node: Node, _ input: Value, _ weightValue: Value, _ finish: LinearFinish, _ extra: Value?
  ) throws -> Int? {
    guard let (tensor, quantization) = weight(weightValue) else { return refuse(node, "its weights are not quantized") }
    guard tensor.rank >= 3, tensor.rank <= 5 else {
      return refuse(node, "it has \(tensor.rank - 2) spatial dimensions")
    }
    let groups = node.int("group") ?? 1
    let window = try WindowFields(OperatorNode(node, opset: context.opsets[""] ?? 1))
    let kernel = Array(tensor.shape[2...])
    let (channels, overflow) = tensor.shape[1].multipliedReportingOverflow(by: groups)
    guard groups > 0, !overflow, channels > 0, tensor.shape[0] > 0, tensor.shape[0] % groups == 0 else {
      return refuse(node, "its weights do not fit its groups")
    }
    guard let weights = read(tensor, quantization, channelAxis: 0) else {
      return refuse(node, "its weights are not 8-bit integers with scales along axis 0")
    }
    let spatial = kernel.count
    guard let extents = window.extents(spatial: spatial) else {
      return refuse(node, "its attributes do not fit its weights")
    }
    let biasValue = node.input(2) ?? extra
    if let extra, !fits(extra, channels: weights.outputs, trailing: spatial) { return nil }
    guard
      let (product, inputs) = try pack(
        node, input, weights, biasValue, finish,
        { description in
          description.channels = channels
          description.groups = groups
          description.kernel = leadingOnes(kernel)
          description.stride = extents.stride
          description.dilation = extents.dilation
        })
    else { return nil }
    return emit(
      node, .integer, inputs, ConvolutionStep(window, groups: groups, weightShape: tensor.shape, product))
  }

  private func gemm(
    _ node: Node, _ input: Value, _ weightValue: Value, _ finish: LinearFinish, _ extra: Value?
  ) throws -> Int? {
    guard (node.int("transA") ?? 0) == 0, (node.float("alpha") ?? 1) == 1, (node.float("beta") ?? 1) == 1 else {
      return refuse(node, "transA, alpha or beta is not the default")
    }
    guard let (tensor, quantization) = weight(weightValue), tensor.rank == 2 else {
      return refuse(node, "its weights are not quantized")
    }
    let isTransposed = (node.int("transB") ?? 0) != 0
    return try matrixProduct(
      node, input, tensor, quantization, isTransposed: isTransposed, finish, node.input(2) ?? extra)
  }

  private func matMul(
    _ node: Node, _ input: Value, _ weightValue: Value, _ finish: LinearFinish, _ extra: Value?
  ) throws -> Int? {
    guard let (tensor, quantization) = weight(weightValue) else { return nil }
    return try matrixProduct(node, input, tensor, quantization, isTransposed: false, finish, extra)
  }

  private func matrixProduct(
    _ node: Node, _ input: Value, _ tensor: Tensor, _ quantization: LinearQuantization, isTransposed: Bool,
    _ finish: LinearFinish, _ bias: Value?
  ) throws -> Int? {
    guard tensor.count > 0, let weights = read(tensor, quantization, channelAxis: isTransposed ? 0 : 1) else {
      return refuse(node, "its weights are not 8-bit integers with scales along the columns")
    }
    let depth = tensor.shape[isTransposed ? 1 : 0]
    if let bias, !fits(bias, channels: weights.outputs, trailing: 0) {
      return refuse(node, "its bias is no constant row")
    }
    guard let (product, inputs) = try pack(node, input, weights, bias, finish, { $0.channels = depth }) else {
      return nil
    }
    return emit(
      node, .integer, inputs, MatrixProductStep(outputs: weights.outputs, depth: depth, product))
  }

  /// MatMul of two activations.
  private func activationProduct(_ node: Node, _ left: Value, _ right: Value, _ finish: LinearFinish) throws -> Int? {
    guard let a = try operand(left), let b = try operand(right) else {
      return refuse(node, "its second input is not quantized to 8 bits with one scale")
    }
    guard
      let end = AccumulatorFinish(finish, options: options, input: a.parameters.scale, weights: [b.parameters.scale])
    else {
      return refuse(node, "a scale is not finite and positive")
    }
    var most: Int?
    if case .wide(let wide) = finish {
      guard let depth = extent(left, fromLast: 0) ?? extent(right, fromLast: 1), depth <= Int(Int32.max) / (255 * 255)
      else { return refuse(node, "the number of its products is not known before it runs") }
      most = depth
      let bound = Int64(depth) * 255 * 255
      guard wide.settle(scales: end.scales, least: [-bound], greatest: [bound]) else { return nil }
    }
    var inputs: [Int?] = [a.slot, b.slot]
    if case .add(let residual, _) = finish { inputs.append(residual.slot) }
    return emit(
      node, .integer, inputs, ActivationProductStep(aZero: a.parameters.zero, bZero: b.parameters.zero, most: most, end)
    )
  }

  // MARK: Packing

  private func pack(
    _ node: Node, _ input: Value, _ weights: Weights, _ bias: Value?, _ finish: LinearFinish,
    _ complete: (inout ConvolutionDescription) -> Void
  ) throws -> (WeightedProduct, [Int?])? {
    guard let (description, end, inputs) = try describe(node, input, weights, bias, finish, complete) else {
      return nil
    }
    return (try WeightedProduct(description, end, keepsContent: options.isStored), inputs)
  }

  /// The weights with their bias and finish, and the step's inputs; the accumulators are proved to stay within 32 bits.
  func describe(
    _ node: Node, _ input: Value, _ weights: Weights, _ bias: Value?, _ finish: LinearFinish,
    _ complete: (inout ConvolutionDescription) -> Void
  ) throws -> (ConvolutionDescription, AccumulatorFinish, [Int?])? {
    guard let x = try operand(input) else { return nil }
    var weights = weights
    var integers: [Int32]?
    if let bias {
      if let read = readBias(node, bias, input: x.parameters.scale, &weights) {
        integers = read
      } else if case .wide(let wide) = finish, let reals = constant(bias)?.floats, reals.allSatisfy(\.isFinite),
        reals.count == 1 || reals.count == weights.outputs
      {
        wide.biases = reals
      } else {
        return nil
      }
    }
    guard let end = AccumulatorFinish(finish, options: options, input: x.parameters.scale, weights: weights.scales)
    else {
      _ = refuse(node, "a scale is not finite and positive")
      return nil
    }
    var description = ConvolutionDescription(
      channels: 1, outputs: weights.outputs, inputZero: x.parameters.zero, weights: weights.values)
    description.weightZeros = weights.zeros
    description.bias = integers
    description.requantization = end.fused
    complete(&description)
    let bounds = try description.bounds()
    for output in 0..<weights.outputs
    where bounds.least[output] < Int64(Int32.min) || bounds.greatest[output] > Int64(Int32.max) {
      _ = refuse(
        node,
        "the accumulator of output \(output) may reach \(bounds.least[output]) ... \(bounds.greatest[output]), beyond 32 bits"
      )
      return nil
    }
    if case .wide(let wide) = finish,
      !wide.settle(scales: end.scales, least: bounds.least, greatest: bounds.greatest)
    {
      return nil
    }
    var inputs: [Int?] = [x.slot]
    if case .add(let residual, _) = finish { inputs.append(residual.slot) }
    return (description, end, inputs)
  }

  /// The weights as int8 [outputs][depth]; nil where they are wider or their scales lie along another axis.
  func read(_ tensor: Tensor, _ quantization: LinearQuantization, channelAxis: Int) -> Weights? {
    let outputs = tensor.shape[channelAxis]
    if let axis = quantization.axis {
      guard (axis < 0 ? axis + tensor.rank : axis) == channelAxis, quantization.scales.count == outputs else {
        return nil
      }
    }
    guard quantization.scales.allSatisfy({ $0.isFinite && $0 >= 0 }) else { return nil }
    var values: [Int8]
    var offset = 0
    switch tensor.elementType {
    case .int8: values = tensor.array(Int8.self)
    case .uint8:
      offset = 128
      values = tensor.withElements(UInt8.self) { $0.map { Int8(bitPattern: $0 ^ 128) } }
    case .int4, .uint4, .int2, .uint2: values = (tensor.integers ?? []).map { Int8(clamping: $0) }
    default: return nil
    }
    if channelAxis == 1 {
      let depth = tensor.shape[0]
      var transposed = [Int8](repeating: 0, count: values.count)
      for k in 0..<depth { for n in 0..<outputs { transposed[n * depth + k] = values[k * outputs + n] } }
      values = transposed
    }
    func spread<T>(_ list: [T]) -> [T] { list.count == outputs ? list : [T](repeating: list[0], count: outputs) }
    let zeros = spread(quantization.zeroPoints.map { Int32(clamping: $0 - offset) })
    return Weights(
      values: values, zeros: zeros.allSatisfy { $0 == 0 } ? nil : zeros, scales: spread(quantization.scales),
      outputs: outputs)
  }

  /// True where a constant added to the product is one element for each channel, or one for all.
  private func fits(_ bias: Value, channels: Int, trailing: Int) -> Bool {
    guard let tensor = constant(bias) else { return false }
    if tensor.count == 1 { return true }
    guard tensor.count == channels else { return false }
    if bias.uses.contains(where: { $0.index == 2 && ["Conv", "Gemm"].contains($0.node.opType) }) {
      return tensor.shape.last == channels
    }
    let axis = tensor.rank - 1 - trailing
    return axis >= 0 && tensor.shape[axis] == channels
  }

  /// The bias in accumulator units, half to even. A channel without weights is given a scale that holds its bias.
  private func readBias(_ node: Node, _ value: Value, input: Float, _ weights: inout Weights) -> [Int32]? {
    var exact: [Int]?
    var exactScales: [Float] = []
    if let (tensor, quantization) = weight(value), quantization.zeroPoints.allSatisfy({ $0 == 0 }) {
      exact = tensor.integers
      exactScales = quantization.scales
    }
    guard let reals = constant(value)?.floats, reals.count == 1 || reals.count == weights.outputs else {
      _ = refuse(node, "its bias is not a constant")
      return nil
    }
    let depth = weights.values.count / weights.outputs
    var result: [Int32] = []
    result.reserveCapacity(weights.outputs)
    for n in 0..<weights.outputs {
      let real = reals[reals.count > 1 ? n : 0]
      if let exact, exact.count == reals.count,
        exactScales[exactScales.count > 1 ? n : 0] == input * weights.scales[n],
        reals.count > 1 || weights.outputs == 1,
        let integer = Int32(exactly: exact[n])
      {
        result.append(integer)
        continue
      }
      var unit = Double(input) * Double(weights.scales[n])
      if real == 0 {
        result.append(0)
        continue
      }
      var units = (Double(real) / unit).rounded(.toNearestOrEven)
      if !(abs(units) < Double(Int32.max)) {
        let zero = Int(weights.zeros?[n] ?? 0)
        let own = n * depth..<(n + 1) * depth
        // Products that together stay under half a unit in the last place of the float32 bias are not seen in float either.
        let reach = weights.values[own].reduce(0) { $0 + 255 * abs(Int($1) - zero) }
        guard real.isFinite, Double(reach) * unit <= Double(Swift.abs(real)) * 0x1p-25 else {
          _ = refuse(node, "the bias of output \(n) is beyond 32 bits of its accumulator's scale")
          return nil
        }
        for k in own { weights.values[k] = Int8(clamping: zero) }
        weights.scales[n] = Swift.abs(real) / (input * Float(1 << 23))
        unit = Double(input) * Double(weights.scales[n])
        units = (Double(real) / unit).rounded(.toNearestOrEven)
        guard abs(units) < Double(Int32.max) else {
          _ = refuse(node, "the bias of output \(n) has no accumulator scale")
          return nil
        }
      }
      result.append(Int32(units))
    }
    return result
  }
}

/// MatMul's shapes: matrices, and which of each operand's matrices each output matrix takes.
struct BatchedProduct {
  let rows: Int
  let columns: Int
  let depth: Int
  let shape: [Int]
  let batches: [(a: Int, b: Int)]

  init(_ a: [Int], _ b: [Int]) throws {
    guard let depth = a.last, !b.isEmpty else { throw ExecutionError(.failed, "MatMul of a scalar") }
    let left = a.count == 1 ? [1, depth] : a
    let right = b.count == 1 ? [b[0], 1] : b
    guard right[right.count - 2] == depth, let batch = BroadcastLoop.shape(left.dropLast(2), right.dropLast(2)) else {
      throw ExecutionError(.failed, "matrices of shapes \(a) and \(b) do not multiply")
    }
    rows = left[left.count - 2]
    columns = right[right.count - 1]
    self.depth = depth
    shape = batch + (a.count == 1 ? [] : [rows]) + (b.count == 1 ? [] : [columns])
    func indices(_ own: [Int]) -> [Int] {
      var indices = [0]
      let padded = [Int](repeating: 1, count: batch.count - own.count) + own
      for d in batch.indices {
        indices = indices.flatMap { index in (0..<batch[d]).map { index * padded[d] + (padded[d] == 1 ? 0 : $0) } }
      }
      return indices
    }
    batches = zip(indices(left.dropLast(2)), indices(right.dropLast(2))).map { ($0, $1) }
  }
}

extension StepContext {
  static let physicalMemory: Int = {
    let (bytes, overflow) = sysconf(Int32(_SC_PHYS_PAGES)).multipliedReportingOverflow(
      by: sysconf(Int32(_SC_PAGESIZE)))
    return overflow || bytes <= 0 ? 1 << 40 : bytes
  }()

  /// The product of extents that come from files and inputs; an error where it is more than the memory limit.
  func elementCount(_ extents: [Int]) throws -> Int {
    var count = 1
    for extent in extents {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, extent >= 0, product <= memoryLimit else {
        throw ExecutionError(
          .failed, "a result of \(extents.map(String.init).joined(separator: " x ")) elements is too large")
      }
      count = product
    }
    return count
  }

  func elementCount(_ extents: Int...) throws -> Int { try elementCount(extents) }

  func count(_ macs: Int) {
    countFloat(macs)
    statistics.integerMacs &+= macs
  }

  func countFloat(_ macs: Int) { statistics.macs &+= macs }

  /// Runs a packed operator into bytes, or into accumulators that `end` turns into the result.
  func accumulate(
    _ packed: PackedConvolution, _ end: AccumulatorFinish, rows: Int, outputs: Int, shape: [Int], isChannelsLast: Bool,
    _ arguments: [PlanValue?], _ run: (UnsafeMutableRawPointer) throws -> Void
  ) throws -> PlanValue {
    let elements = try elementCount(rows, outputs)
    if !packed.isWide {
      let stored = IntegerTensor.storedShape(shape, channelsLast: isChannelsLast)
      let bytes = try Tensor(of: UInt8.self, shape: stored, pool: pool) {
        try run(UnsafeMutableRawPointer($0.baseAddress!))
      }
      return .integer(IntegerTensor(bytes, shape: shape, isChannelsLast: isChannelsLast))
    }
    let accumulators = TensorStorage(byteCount: elements * 4, pool: pool)
    try run(accumulators.base)
    return try end.apply(
      accumulators.base.bindMemory(to: Int32.self, capacity: elements), rows: rows, channels: outputs, shape: shape,
      isChannelsLast: isChannelsLast, residual: arguments.count > 1 ? arguments[1] : nil, self)
  }
}
