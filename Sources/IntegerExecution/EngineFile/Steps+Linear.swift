import FloatExecution
import IntegerKernels
import ONNXTensor
import OperatorLibrary
import Synchronization

/// A convolution of one to three spatial axes.
struct ConvolutionStep: StoredOperation {
  static let kind = "convolution"
  static let layout = StepLayout.channelsLast
  static let inputCounts = 1...2
  let window: WindowFields
  let groups: Int
  /// As ONNX has them: [outputs, channels / groups, kernel].
  let weightShape: [Int]
  let product: WeightedProduct
  private let last = LastLayout()

  init(_ window: WindowFields, groups: Int, weightShape: [Int], _ product: WeightedProduct) {
    self.window = window
    self.groups = groups
    self.weightShape = weightShape
    self.product = product
  }

  func store(_ fields: inout FieldWriter) throws {
    let (description, end) = try product.stored()
    try window.store(&fields)
    fields.put("groups", int: groups)
    try fields.put(description, shape: weightShape)
    try fields.put(end)
  }

  init(_ fields: inout FieldReader) throws {
    window = try WindowFields(&fields)
    groups = try fields.int("groups", in: 1...1 << 30)
    let weights = try StoredWeights(&fields, ranks: 3...5)
    weightShape = weights.weights.shape
    let kernel = Array(weightShape[2...])
    let end = try StoredFinish(&fields, outputs: weightShape[0])
    let (channels, overflow) = weightShape[1].multipliedReportingOverflow(by: groups)
    guard !overflow, weightShape[0] % groups == 0, let extents = window.extents(spatial: kernel.count) else {
      throw fields.damaged("weights of shape \(weightShape) do not fit \(groups) groups and the window")
    }
    let groups = groups
    product = WeightedProduct {
      var description = try weights.description(channels: channels)
      description.groups = groups
      description.kernel = leadingOnes(kernel)
      description.stride = extents.stride
      description.dilation = extents.dilation
      let end = try end.end()
      description.requantization = end.fused
      return (description, end)
    }
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(arguments, 0).channelsLast(context.pool)
    let layout = try last.layout(of: x.shape, context) { try laidOut(x.shape, context) }
    context.count(layout.macs)
    let (packed, end) = try product.prepared()
    let workspace = TensorStorage(byteCount: layout.workspace, pool: context.pool)
    return [
      try context.accumulate(
        packed, end, rows: layout.rows, outputs: weightShape[0], shape: layout.shape, isChannelsLast: true, arguments
      ) { y in
        try x.bytes.withElements(UInt8.self) {
          try packed.run(
            layout.geometry, $0.baseAddress!, into: y, workspace: workspace.base, pool: context.threads.handle)
        }
      }
    ]
  }

  private func laidOut(_ x: [Int], _ context: StepContext) throws -> ConvolutionLayout {
    let spatial = weightShape.count - 2
    let outputs = weightShape[0]
    guard x.count == spatial + 2, x[1] == weightShape[1] * groups else {
      throw ExecutionError(.failed, "an input of shape \(x) does not fit weights of shape \(weightShape)")
    }
    let laid = try WindowGeometry(window.attributes, input: Array(x[2...]), kernel: Array(weightShape[2...]))
    let geometry = ConvolutionGeometry(
      batch: x[0], input: leadingOnes(laid.input), begin: leadingOnes(laid.padBegin, 0),
      end: leadingOnes(laid.padEnd, 0))
    let rows = try context.elementCount(x[0], laid.output.reduce(1, *))
    _ = try context.elementCount(rows, outputs, 4)
    _ = try context.elementCount(
      x[0], weightShape[1] * groups,
      zip(laid.input, zip(laid.padBegin, laid.padEnd)).reduce(1) {
        $0 &* ($1.0 &+ $1.1.0 &+ $1.1.1)
      })
    return ConvolutionLayout(
      geometry: geometry, shape: [x[0], outputs] + laid.output, rows: rows,
      macs: rows &* outputs &* weightShape[1...].reduce(1, *),
      workspace: try context.elementCount(try product.prepared().packed.workspace(geometry)))
  }
}

/// What a convolution works out of its input's shape.
struct ConvolutionLayout: Sendable {
  let geometry: ConvolutionGeometry
  let shape: [Int]
  let rows: Int
  let macs: Int
  let workspace: Int
}

/// The layout of the last run: from one run to the next shapes seldom change.
final class LastLayout: Sendable {
  private let state = Mutex<(shape: [Int], limit: Int, layout: ConvolutionLayout)?>(nil)

  func layout(of shape: [Int], _ context: StepContext, _ make: () throws -> ConvolutionLayout) throws
    -> ConvolutionLayout
  {
    let known = state.withLock { $0 }
    if let known, known.shape == shape, known.limit == context.memoryLimit { return known.layout }
    let layout = try make()
    state.withLock { $0 = (shape, context.memoryLimit, layout) }
    return layout
  }
}

/// Rows of activations times a matrix of weights.
struct MatrixProductStep: StoredOperation {
  static let kind = "matrix-product"
  static let layout = StepLayout.plain
  static let inputCounts = 1...2
  let outputs: Int
  let depth: Int
  let product: WeightedProduct

  init(outputs: Int, depth: Int, _ product: WeightedProduct) {
    self.outputs = outputs
    self.depth = depth
    self.product = product
  }

  func store(_ fields: inout FieldWriter) throws {
    let (description, end) = try product.stored()
    try fields.put(description, shape: [outputs, depth])
    try fields.put(end)
  }

  init(_ fields: inout FieldReader) throws {
    let weights = try StoredWeights(&fields, ranks: 2...2)
    outputs = weights.weights.shape[0]
    depth = weights.weights.shape[1]
    let end = try StoredFinish(&fields, outputs: outputs)
    let depth = depth
    product = WeightedProduct {
      var description = try weights.description(channels: depth)
      let end = try end.end()
      description.requantization = end.fused
      return (description, end)
    }
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(arguments, 0).plain(context.pool)
    guard let last = x.shape.last, last == depth else {
      throw ExecutionError(
        .failed, "an input of shape \(x.shape) does not fit a matrix of \(depth) rows and \(outputs) columns")
    }
    let rows = x.shape.dropLast().reduce(1, *)
    let shape = Array(x.shape.dropLast()) + [outputs]
    _ = try context.elementCount(rows, outputs, 4)
    context.count(rows &* outputs &* depth)
    let (packed, end) = try product.prepared()
    return [
      try context.accumulate(
        packed, end, rows: rows, outputs: outputs, shape: shape, isChannelsLast: false, arguments
      ) { y in
        try x.bytes.withElements(UInt8.self) {
          try packed.multiply(rows: rows, depth: depth, $0.baseAddress!, into: y, pool: context.threads.handle)
        }
      }
    ]
  }
}

/// MatMul of two activations.
struct ActivationProductStep: StoredOperation {
  static let kind = "activation-product"
  static let layout = StepLayout.plain
  static let inputCounts = 2...3
  private static let limit = Int(Int32.max) / (255 * 255)
  let aZero: Int32
  let bZero: Int32
  /// More products than the plan has reckoned with are refused.
  let most: Int
  let end: AccumulatorFinish

  init(aZero: Int32, bZero: Int32, most: Int?, _ end: AccumulatorFinish) {
    self.aZero = aZero
    self.bZero = bZero
    self.most = most ?? Self.limit
    self.end = end
  }

  func store(_ fields: inout FieldWriter) throws {
    fields.put("a_zero", int: Int(aZero))
    fields.put("b_zero", int: Int(bZero))
    fields.put("depth_limit", int: most)
    try fields.put(end)
  }

  init(_ fields: inout FieldReader) throws {
    aZero = Int32(try fields.int("a_zero", in: 0...255))
    bZero = Int32(try fields.int("b_zero", in: 0...255))
    most = try fields.int("depth_limit", in: 0...Self.limit)
    end = try StoredFinish(&fields, outputs: 1).end()
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(arguments, 0).plain(context.pool)
    let y = try integerInput(arguments, 1).plain(context.pool)
    let product = try BatchedProduct(x.shape, y.shape)
    guard product.depth <= most else {
      throw ExecutionError(.failed, "a sum of \(product.depth) products may exceed 32 bits")
    }
    let count = try context.elementCount(product.rows, product.columns)
    let total = try context.elementCount(product.batches.count, count, 4)
    context.count(product.batches.count &* count &* product.depth)
    let accumulators = TensorStorage(byteCount: total, pool: context.pool)
    let sums = accumulators.base.bindMemory(to: Int32.self, capacity: total / 4)
    try x.bytes.withElements(UInt8.self) { x in
      try y.bytes.withElements(UInt8.self) { y in
        for (index, batch) in product.batches.enumerated() {
          try multiplyActivations(
            rows: product.rows, columns: product.columns, depth: product.depth,
            x.baseAddress! + batch.a * product.rows * product.depth, zero: aZero,
            y.baseAddress! + batch.b * product.depth * product.columns, zero: bZero,
            into: sums + index * count, pool: context.threads.handle)
        }
      }
    }
    return [
      try end.apply(
        sums, rows: 1, channels: total / 4, shape: product.shape, isChannelsLast: false,
        residual: arguments.count > 2 ? arguments[2] : nil, context)
    ]
  }
}
