import FloatExecution
import IntegerKernels
import ONNXTensor

/// A transposed convolution of one to three spatial axes.
struct TransposedConvolutionStep: StoredOperation {
  static let kind = "convolution-transpose"
  static let layout = StepLayout.channelsLast
  static let inputCounts = 1...2
  let window: TransposedWindow
  let groups: Int
  /// [outputs, channels / groups, kernel]: the first two axes are not ONNX's.
  let weightShape: [Int]
  private let load: () throws -> WeightedProduct.Content
  private final class Cache { var packed: (convolution: PackedTransposedConvolution, end: AccumulatorFinish)? }
  private let cache = Cache()

  init(
    _ window: TransposedWindow, groups: Int, weightShape: [Int], _ load: @escaping () throws -> WeightedProduct.Content
  ) {
    self.window = window
    self.groups = groups
    self.weightShape = weightShape
    self.load = load
  }

  func store(_ fields: inout FieldWriter) throws {
    let (description, end) = try load()
    try window.store(&fields)
    fields.put("groups", int: groups)
    try fields.put(description, shape: weightShape)
    try fields.put(end)
  }

  init(_ fields: inout FieldReader) throws {
    window = try TransposedWindow(&fields)
    groups = try fields.int("groups", in: 1...1 << 30)
    let weights = try StoredWeights(&fields, ranks: 3...5)
    weightShape = weights.weights.shape
    let end = try StoredFinish(&fields, outputs: weightShape[0])
    let (channels, overflow) = weightShape[1].multipliedReportingOverflow(by: groups)
    guard !overflow, weightShape[0] % groups == 0, let extents = window.extents(spatial: weightShape.count - 2) else {
      throw fields.damaged("weights of shape \(weightShape) do not fit \(groups) groups and the window")
    }
    let groups = groups
    let kernel = leadingOnes(Array(weightShape[2...]))
    load = {
      var description = try weights.description(channels: channels)
      description.groups = groups
      description.kernel = kernel
      description.stride = extents.stride
      description.dilation = extents.dilation
      let end = try end.end()
      description.requantization = end.fused
      return (description, end)
    }
  }

  private func packed() throws -> (convolution: PackedTransposedConvolution, end: AccumulatorFinish) {
    if let known = cache.packed { return known }
    let (description, end) = try load()
    let bounds = try description.bounds()
    for output in 0..<description.outputs
    where bounds.least[output] < Int64(Int32.min) || bounds.greatest[output] > Int64(Int32.max) {
      throw EngineFileError(.damaged, "the accumulator of output \(output) may leave 32 bits")
    }
    let result = (try PackedTransposedConvolution(description), end)
    cache.packed = result
    return result
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(arguments, 0).channelsLast(context.pool)
    let spatial = weightShape.count - 2
    let outputs = weightShape[0]
    guard x.shape.count == spatial + 2, x.shape[1] == weightShape[1] * groups else {
      throw ExecutionError(.failed, "an input of shape \(x.shape) does not fit weights of shape \(weightShape)")
    }
    let input = Array(x.shape[2...])
    let laid = try window.geometry(input: input, kernel: Array(weightShape[2...]))
    let shape = [x.shape[0], outputs] + laid.output
    let rows = try context.elementCount([x.shape[0]] + laid.output)
    let elements = try context.elementCount(rows, outputs)
    _ = try context.elementCount(elements, 4)
    context.count(x.count &* (weightShape.reduce(1, *) / max(weightShape[1] &* groups, 1)))
    let (convolution, end) = try packed()
    let geometry = PackedTransposedConvolution.Geometry(
      batch: x.shape[0], input: leadingOnes(input), begin: leadingOnes(laid.begin, 0), output: leadingOnes(laid.output))
    func fill(_ y: UnsafeMutableRawPointer) throws {
      guard elements > 0 else { return }
      try x.bytes.withElements(UInt8.self) {
        try convolution.run(geometry, $0.baseAddress!, into: y, pool: context.threads.handle) { sizes, body in
          let memory = try sizes.map { TensorStorage(byteCount: try context.elementCount($0), pool: context.pool) }
          try body(memory.map(\.base))
        }
      }
    }
    if !convolution.isWide {
      let stored = IntegerTensor.storedShape(shape, channelsLast: true)
      let bytes = try Tensor(of: UInt8.self, shape: stored, pool: context.pool) { y in
        if let base = y.baseAddress { try fill(UnsafeMutableRawPointer(base)) }
      }
      return [.integer(IntegerTensor(bytes, shape: shape, isChannelsLast: true))]
    }
    let accumulators = TensorStorage(byteCount: elements * 4, pool: context.pool)
    try fill(accumulators.base)
    return [
      try end.apply(
        accumulators.base.bindMemory(to: Int32.self, capacity: elements), rows: rows, channels: outputs, shape: shape,
        isChannelsLast: true, residual: arguments.count > 1 ? arguments[1] : nil, context)
    ]
  }
}
