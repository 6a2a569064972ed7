import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor
import QuantCore

/// The greatest byte of each window.
struct MaxPoolStep: StoredOperation {
  static let kind = "max-pool"
  static let layout = StepLayout.channelsLast
  static let inputCounts = 1...1
  /// nil for the whole plane.
  let window: WindowFields?

  init(_ window: WindowFields?) { self.window = window }

  func store(_ fields: inout FieldWriter) throws {
    fields.put("global", flag: window == nil)
    try window?.store(&fields)
  }

  init(_ fields: inout FieldReader) throws { window = try fields.flag("global") ? nil : WindowFields(&fields) }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(inputs, 0).channelsLast(context.pool)
    let pool = try PoolRun(x.shape, window?.attributes)
    _ = try context.elementCount(pool.shape[0], pool.shape[1], pool.window.output.reduce(1, *))
    let bytes = Tensor(of: UInt8.self, shape: pool.storedShape, pool: context.pool) { out in
      x.bytes.withElements(UInt8.self) {
        IntegerKernels.maxPool(
          pool.window, pool.geometry, channels: x.shape[1], $0.baseAddress!, into: out.baseAddress!)
      }
    }
    return [.integer(IntegerTensor(bytes, shape: pool.shape, isChannelsLast: true))]
  }
}

/// The division of sums by their counts and the change of scale, as one multiplier.
struct MeanScale {
  let input: ActivationParameters
  let target: QuantizationTarget
  let rounding: IntegerRounding

  init(_ input: ActivationParameters, _ target: QuantizationTarget, _ rounding: IntegerRounding) {
    self.input = input
    self.target = target
    self.rounding = rounding
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("rounding", string: rounding.rawValue)
    fields.put("input", input)
    fields.put("output", target)
  }

  init(_ fields: inout FieldReader) throws {
    rounding = try fields.rounding()
    input = try fields.parameters("input")
    target = try fields.target("output")
  }

  func requantize(_ sums: [Int32], count: Int, _ y: UnsafeMutablePointer<UInt8>) throws {
    let scale = input.scale
    let out = target.parameters.scale
    guard let m = FixedPointMultiplier(scale, over: out, count: max(count, 1)) else {
      throw ExecutionError(.failed, "the mean of \(count) elements has no multiplier")
    }
    switch rounding {
    case .fixed:
      IntegerKernels.requantize(
        sums, rows: 1, channels: sums.count, by: [IntegerMultiplier(m)], output: target.output, into: y)
    case .binary32:
      var multiplier = scale / (out * Float(max(count, 1)))
      ck_int_requantize_float32(sums, 1, Int64(sums.count), &multiplier, 0, target.output, CK_INT_U8, y)
    }
  }
}

/// Means over windows.
struct AveragePoolStep: StoredOperation {
  static let kind = "average-pool"
  static let layout = StepLayout.channelsLast
  static let inputCounts = 1...1
  let scale: MeanScale
  /// nil for the whole plane.
  let window: WindowFields?
  let includesPadding: Bool

  init(_ scale: MeanScale, _ window: WindowFields?, includesPadding: Bool) {
    self.scale = scale
    self.window = window
    self.includesPadding = includesPadding
  }

  func store(_ fields: inout FieldWriter) throws {
    scale.store(&fields)
    fields.put("count_include_pad", flag: includesPadding)
    fields.put("global", flag: window == nil)
    try window?.store(&fields)
  }

  init(_ fields: inout FieldReader) throws {
    scale = try MeanScale(&fields)
    includesPadding = try fields.flag("count_include_pad")
    window = try fields.flag("global") ? nil : WindowFields(&fields)
  }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(inputs, 0).channelsLast(context.pool)
    let pool = try PoolRun(x.shape, window?.attributes)
    let channels = x.shape[1]
    let pixels = pool.window.output.reduce(1, *)
    guard pool.window.kernel.reduce(1, *) < Int(Int32.max) / 255 else {
      throw ExecutionError(.failed, "a window of \(pool.window.kernel) may exceed a 32-bit sum")
    }
    _ = try context.elementCount(pool.shape[0], pixels, channels, 4)
    if scale.rounding == .binary32, window != nil { return [.integer(float32(x, pool, context))] }
    var sums = [Int32](repeating: 0, count: try context.elementCount(pool.shape[0], pixels, channels))
    var counts = [Int32](repeating: 0, count: pixels)
    x.bytes.withElements(UInt8.self) {
      poolSums(
        pool.window, pool.geometry, channels: channels, $0.baseAddress!, zero: scale.input.zero, sums: &sums,
        counts: &counts)
    }
    if includesPadding, window != nil { counts = pool.paddedCounts() }
    let bytes = try Tensor(of: UInt8.self, shape: pool.storedShape, pool: context.pool) { y in
      if let first = counts.first, counts.allSatisfy({ $0 == first }) {
        return try scale.requantize(sums, count: Int(first), y.baseAddress!)
      }
      for image in 0..<pool.shape[0] {
        for (pixel, count) in counts.enumerated() {
          let start = (image * pixels + pixel) * channels
          try scale.requantize(Array(sums[start..<start + channels]), count: Int(count), y.baseAddress! + start)
        }
      }
    }
    return [.integer(IntegerTensor(bytes, shape: pool.shape, isChannelsLast: true))]
  }

  /// Means as onnxruntime takes them: of reals, one after the other.
  private func float32(_ x: IntegerTensor, _ pool: PoolRun, _ context: StepContext) -> IntegerTensor {
    let divisors = includesPadding ? pool.paddedCounts() : nil
    let bytes = Tensor(of: UInt8.self, shape: pool.storedShape, pool: context.pool) { out in
      x.bytes.withElements(UInt8.self) {
        var geometry = pool.geometry.c
        var shape = pool.window.c(channels: x.shape[1])
        ck_int_average_pool_float32(
          &shape, &geometry, $0.baseAddress, scale.input.zero, scale.input.scale, divisors,
          scale.target.parameters.scale, scale.target.output, out.baseAddress)
      }
    }
    return IntegerTensor(bytes, shape: pool.shape, isChannelsLast: true)
  }
}

/// Sums or means over axes.
struct ReductionStep: StoredOperation {
  static let kind = "reduce"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let scale: MeanScale
  /// nil for all.
  let axes: [Int]?
  let keepsAxes: Bool
  let isMean: Bool

  init(_ scale: MeanScale, axes: [Int]?, keepsAxes: Bool, isMean: Bool) {
    self.scale = scale
    self.axes = axes?.isEmpty ?? true ? nil : axes
    self.keepsAxes = keepsAxes
    self.isMean = isMean
  }

  func store(_ fields: inout FieldWriter) {
    scale.store(&fields)
    if let axes { fields.put("axes", ints: axes) }
    fields.put("keepdims", flag: keepsAxes)
    fields.put("mean", flag: isMean)
  }

  init(_ fields: inout FieldReader) throws {
    let scale = try MeanScale(&fields)
    let axes = try fields.intsIfPresent("axes")
    guard axes?.allSatisfy((-64...64).contains) ?? true else { throw fields.damaged("'axes' is out of range") }
    self.init(scale, axes: axes, keepsAxes: try fields.flag("keepdims"), isMean: try fields.flag("mean"))
  }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let x = try integerInput(inputs, 0).plain(context.pool)
    let rank = x.shape.count
    let chosen = Set((axes ?? Array(0..<rank)).map { $0 < 0 ? $0 + rank : $0 })
    guard chosen.allSatisfy({ $0 >= 0 && $0 < rank }) else {
      throw ExecutionError(.failed, "axes \(axes ?? []) do not fit shape \(x.shape)")
    }
    let count = chosen.reduce(1) { $0 * x.shape[$1] }
    guard count < Int(Int32.max) / 255 else {
      throw ExecutionError(.failed, "a sum of \(count) elements may exceed 32 bits")
    }
    let shape = (0..<rank).compactMap { chosen.contains($0) ? (keepsAxes ? 1 : nil) : x.shape[$0] }
    let order = (0..<rank).filter { !chosen.contains($0) } + (0..<rank).filter(chosen.contains)
    let outer = x.count / max(count, 1)
    var sums = [Int32](repeating: 0, count: shape.reduce(1, *))
    let moved = permuted(x.bytes, order)
    moved.withElements(UInt8.self) {
      IntegerKernels.sums($0.baseAddress!, outer: outer, count: count, inner: 1, zero: scale.input.zero, into: &sums)
    }
    let bytes = try Tensor(of: UInt8.self, shape: shape, pool: context.pool) { y in
      try scale.requantize(sums, count: isMean ? count : 1, y.baseAddress!)
    }
    return [.integer(IntegerTensor(plain: bytes))]
  }
}
