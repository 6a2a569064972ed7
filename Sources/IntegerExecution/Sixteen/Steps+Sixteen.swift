import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor
import OperatorLibrary

/// A convolution of which the input or the weights have 16 bits.
struct SplitConvolutionStep: StoredOperation {
  static let kind = "convolution-16"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let window: WindowFields
  let groups: Int
  let product: SplitProduct

  init(_ window: WindowFields, groups: Int, _ product: SplitProduct) {
    self.window = window
    self.groups = groups
    self.product = product
  }

  func store(_ fields: inout FieldWriter) throws {
    try window.store(&fields)
    fields.put("groups", int: groups)
    try product.store(&fields)
  }

  init(_ fields: inout FieldReader) throws {
    let window = try WindowFields(&fields)
    let groups = try fields.int("groups", in: 1...1 << 30)
    product = try SplitProduct(&fields, ranks: 3...5) { shape, fields in
      guard
        let description = ConvolutionDescription(split: shape, groups: groups, window)
      else { throw fields.damaged("weights of shape \(shape) do not fit \(groups) groups and the window") }
      return description
    }
    self.window = window
    self.groups = groups
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let weightShape = product.content.weights.shape
    let spatial = weightShape.count - 2
    let (bytes, input) = try product.content.operand.bytes(arguments, 0, channelsLast: true, context)
    guard input.count == spatial + 2, input[1] == product.content.description.channels else {
      throw ExecutionError(.failed, "an input of shape \(input) does not fit weights of shape \(weightShape)")
    }
    let laid = try WindowGeometry(window.attributes, input: Array(input[2...]), kernel: Array(weightShape[2...]))
    let geometry = ConvolutionGeometry(
      batch: input[0], input: leadingOnes(laid.input), begin: leadingOnes(laid.padBegin, 0),
      end: leadingOnes(laid.padEnd, 0))
    let outputs = weightShape[0]
    let rows = try context.elementCount(input[0], laid.output.reduce(1, *))
    _ = try context.elementCount(rows, outputs, 4)
    _ = try context.elementCount(
      input[0], input[1],
      zip(laid.input, zip(laid.padBegin, laid.padEnd)).reduce(1) { $0 &* ($1.0 &+ $1.1.0 &+ $1.1.1) })
    context.count(rows &* outputs &* weightShape[1...].reduce(1, *))
    return [
      try product.run(bytes, rows: rows, shape: [input[0], outputs] + laid.output, isChannelsLast: true, context) {
        packed, x, y in
        let workspace = TensorStorage(
          byteCount: try context.elementCount(try packed.workspace(geometry)), pool: context.pool)
        try packed.run(geometry, x, into: y, workspace: workspace.base, pool: context.threads.handle)
      }
    ]
  }
}

extension ConvolutionDescription {
  /// The sizes of a convolution with weights of this shape; nil where they do not fit.
  init?(split shape: [Int], groups: Int, _ window: WindowFields) {
    let (channels, overflow) = shape[1].multipliedReportingOverflow(by: groups)
    guard !overflow, groups > 0, shape[0] % groups == 0, let extents = window.extents(spatial: shape.count - 2) else {
      return nil
    }
    self.init(channels: channels, outputs: shape[0], inputZero: 0, weights: [])
    self.groups = groups
    kernel = leadingOnes(Array(shape[2...]))
    stride = extents.stride
    dilation = extents.dilation
  }
}

/// Rows of activations times a matrix of weights, of which either has 16 bits.
struct SplitMatrixProductStep: StoredOperation {
  static let kind = "matrix-product-16"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let product: SplitProduct

  init(_ product: SplitProduct) { self.product = product }

  func store(_ fields: inout FieldWriter) throws { try product.store(&fields) }

  init(_ fields: inout FieldReader) throws {
    product = try SplitProduct(&fields, ranks: 2...2) { shape, _ in
      ConvolutionDescription(channels: shape[1], outputs: shape[0], inputZero: 0, weights: [])
    }
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let depth = product.content.description.channels
    let outputs = product.content.description.outputs
    let (bytes, input) = try product.content.operand.bytes(arguments, 0, channelsLast: false, context)
    guard let last = input.last, last == depth else {
      throw ExecutionError(
        .failed, "an input of shape \(input) does not fit a matrix of \(depth) rows and \(outputs) columns")
    }
    let rows = input.dropLast().reduce(1, *)
    _ = try context.elementCount(rows, outputs, 4)
    context.count(rows &* outputs &* depth)
    return [
      try product.run(
        bytes, rows: rows, shape: Array(input.dropLast()) + [outputs], isChannelsLast: false, context
      ) { packed, x, y in
        try packed.multiply(rows: rows, depth: depth, x, into: y, pool: context.threads.handle)
      }
    ]
  }
}

/// MatMul of two activations of which either has 16 bits.
struct SplitActivationProductStep: StoredOperation {
  static let kind = "activation-product-16"
  static let layout = StepLayout.plain
  static let inputCounts = 2...2
  static let limit = Int(Int32.max) / (255 * 255)
  let a: SplitOperand
  let b: SplitOperand
  /// More products than the plan has reckoned with are refused.
  let most: Int
  let end: SplitFinish

  init(_ a: SplitOperand, _ b: SplitOperand, most: Int, _ end: SplitFinish) {
    self.a = a
    self.b = b
    self.most = most
    self.end = end
  }

  func store(_ fields: inout FieldWriter) throws {
    a.store("a", &fields)
    b.store("b", &fields)
    fields.put("depth_limit", int: most)
    try end.store(&fields)
  }

  init(_ fields: inout FieldReader) throws {
    a = try SplitOperand("a", &fields)
    b = try SplitOperand("b", &fields)
    most = try fields.int("depth_limit", in: 0...Self.limit)
    end = try SplitFinish(&fields, outputs: 1)
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let (left, leftShape) = try a.bytes(arguments, 0, channelsLast: false, context)
    let (right, rightShape) = try b.bytes(arguments, 1, channelsLast: false, context)
    let product = try BatchedProduct(leftShape, rightShape)
    guard product.depth <= most else {
      throw ExecutionError(.failed, "a sum of \(product.depth) products may exceed 32 bits")
    }
    let count = try context.elementCount(product.rows, product.columns)
    let total = try context.elementCount(product.batches.count, count, 4)
    context.count(product.batches.count &* count &* product.depth)
    var sums: [(storage: TensorStorage, shift: Int32)] = []
    for (x, xPart) in zip(left, a.parts) {
      for (y, yPart) in zip(right, b.parts) {
        let storage = TensorStorage(byteCount: total, pool: context.pool)
        let target = storage.base.bindMemory(to: Int32.self, capacity: total / 4)
        try x.withElements(UInt8.self) { x in
          try y.withElements(UInt8.self) { y in
            for (index, batch) in product.batches.enumerated() {
              try multiplyActivations(
                rows: product.rows, columns: product.columns, depth: product.depth,
                x.baseAddress! + batch.a * product.rows * product.depth, zero: xPart.zero,
                y.baseAddress! + batch.b * product.depth * product.columns, zero: yPart.zero,
                into: target + index * count, pool: context.threads.handle)
            }
          }
        }
        sums.append((storage, xPart.shift + yPart.shift))
      }
    }
    return withExtendedLifetime(sums) {
      [
        end.apply(
          sums.map { (UnsafePointer($0.storage.base.bindMemory(to: Int32.self, capacity: total / 4)), $0.shift) },
          bias: nil, rows: 1, channels: total / 4, shape: product.shape, isChannelsLast: false, context)
      ]
    }
  }
}

/// 16-bit codes to fixed-point codes: the exact real, rounded once.
struct SixteenImportStep: WideStep {
  static let kind = "codes-import-16"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let zero: Int32
  let isSigned: Bool
  let multiplier: IntegerMultiplier

  init(zero: Int32, isSigned: Bool, multiplier: IntegerMultiplier) {
    self.zero = zero
    self.isSigned = isSigned
    self.multiplier = multiplier
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("input_zero", int: Int(zero))
    fields.put("input_signed", flag: isSigned)
    fields.put("codes", multiplier)
  }

  init(_ fields: inout FieldReader) throws {
    zero = Int32(try fields.int("input_zero", in: -32768...65535))
    isSigned = try fields.flag("input_signed")
    multiplier = try fields.multiplier("codes")
  }

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    guard let x = try runtimeInput(inputs, 0).tensor, x.elementType == (isSigned ? .int16 : .uint16) else {
      throw ExecutionError(.failed, "the input is no tensor of 16-bit codes")
    }
    let codes = Tensor(of: Int32.self, shape: x.shape, pool: context.pool) { out in
      x.withElements(UInt16.self) {
        ck_wide_import16($0.baseAddress, Int64(x.count), isSigned ? 1 : 0, zero, multiplier, out.baseAddress)
      }
    }
    return .wide(WideTensor(plain: codes))
  }
}

/// Fixed-point codes to 16-bit codes with one rounding.
struct SixteenExportStep: WideStep {
  static let kind = "codes-quantize-16"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let multiplier: IntegerMultiplier
  let target: SixteenBitTarget

  init(_ multiplier: IntegerMultiplier, _ target: SixteenBitTarget) {
    self.multiplier = multiplier
    self.target = target
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("codes", multiplier)
    target.store(&fields)
  }

  init(_ fields: inout FieldReader) throws {
    multiplier = try fields.multiplier("codes")
    target = try SixteenBitTarget(&fields)
  }

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).plain(context.pool)
    let codes = Tensor(of: UInt16.self, as: target.parameters.elementType, shape: x.shape, pool: context.pool) { out in
      x.codes.withElements(Int32.self) {
        var m = multiplier
        ck_int_requantize(
          $0.baseAddress, 1, Int64(x.count), &m, 0, target.output, target.parameters.isSigned ? CK_INT_S16 : CK_INT_U16,
          out.baseAddress, ck_isa_current())
      }
    }
    return .runtime(.tensor(codes))
  }
}
