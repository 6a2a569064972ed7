import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor

/// How the bytes of a 16-bit or 8-bit operand enter a product: a code less its zero point is Σ (byte - zero) 2^shift.
struct SplitOperand {
  /// Of the codes as unsigned numbers.
  let zero: Int32
  let isWide: Bool
  /// Of the codes in the graph; 8-bit operands are biased bytes already.
  let isSigned: Bool

  /// High byte first.
  var parts: [(zero: Int32, shift: Int32)] {
    guard isWide else { return [(zero, 0)] }
    return [(zero >> Int32(8), Int32(8)), (zero & Int32(255), Int32(0))]
  }
  /// The greatest code.
  var highest: Int { isWide ? 65535 : 255 }

  func store(_ name: String, _ fields: inout FieldWriter) {
    fields.put(name + "_zero", int: Int(zero))
    fields.put(name + "_bits", int: isWide ? 16 : 8)
    fields.put(name + "_signed", flag: isSigned)
  }

  init(zero: Int32, isWide: Bool, isSigned: Bool) {
    self.zero = zero
    self.isWide = isWide
    self.isSigned = isSigned
  }

  init(_ name: String, _ fields: inout FieldReader) throws(EngineFileError) {
    zero = Int32(try fields.int(name + "_zero", in: 0...65535))
    let bits = try fields.int(name + "_bits", in: 8...16)
    isSigned = try fields.flag(name + "_signed")
    isWide = bits == 16
    guard isWide || bits == 8 && zero <= 255 else { throw fields.damaged("'\(name)_bits' is \(bits)") }
  }

  /// The operand's bytes, high ones first; channels last where asked for.
  func bytes(
    _ inputs: [PlanValue?], _ index: Int, channelsLast: Bool, _ context: StepContext
  ) throws -> (bytes: [Tensor], shape: [Int]) {
    guard isWide else {
      let x = try integerInput(inputs, index)
      return ([(channelsLast ? x.channelsLast(context.pool) : x.plain(context.pool)).bytes], x.shape)
    }
    guard let x = try runtimeInput(inputs, index).tensor, x.elementType == (isSigned ? .int16 : .uint16) else {
      throw ExecutionError(.failed, "input \(index) is no tensor of 16-bit codes")
    }
    let isMoved = channelsLast && x.rank > 2
    let batch = isMoved ? x.shape[0] : 1
    let rows = isMoved ? x.shape[1] : 1
    let columns = isMoved ? x.shape[2...].reduce(1, *) : x.count
    var low: Tensor?
    let shape = IntegerTensor.storedShape(x.shape, channelsLast: isMoved)
    let high = Tensor(of: UInt8.self, shape: shape, pool: context.pool) { high in
      low = Tensor(of: UInt8.self, shape: shape, pool: context.pool) { low in
        x.withElements(UInt16.self) {
          ck_int_split16(
            $0.baseAddress, Int64(batch), Int64(rows), Int64(columns), isSigned ? 1 : 0, high.baseAddress,
            low.baseAddress)
        }
      }
    }
    return ([high] + (low.map { [$0] } ?? []), x.shape)
  }
}

/// What becomes of the 64-bit sums of a product in parts.
struct SplitFinish {
  enum Result {
    case codes(SixteenBitTarget)
    /// int32 codes of this fraction.
    case fixedPoint(Int32)
  }
  let result: Result
  /// One for each output, or one for all; shifts up to 94.
  let multipliers: [IntegerMultiplier]

  init(_ result: Result, _ multipliers: [IntegerMultiplier]) {
    self.result = result
    self.multipliers = multipliers
  }

  func store(_ fields: inout FieldWriter) throws(EngineFileError) {
    switch result {
    case .codes(let target):
      fields.put("finish", string: "requantize")
      target.store(&fields)
    case .fixedPoint(let fraction):
      fields.put("finish", string: "fixed-point")
      fields.put("fraction", int: Int(fraction))
    }
    try fields.put("multipliers", tensor: Tensor(multipliers.map(\.m0), shape: [multipliers.count]))
    try fields.put("shifts", tensor: Tensor(multipliers.map(\.shift), shape: [multipliers.count]))
  }

  init(_ fields: inout FieldReader, outputs: Int) throws(EngineFileError) {
    switch try fields.string("finish") {
    case "requantize": result = .codes(try SixteenBitTarget(&fields))
    case "fixed-point": result = .fixedPoint(Int32(try fields.int("fraction", in: 0...30)))
    case let other: throw fields.damaged("finish '\(other)' is not known")
    }
    let m0 = try fields.tensor("multipliers", .int32, shape: [outputs]).array(Int32.self)
    let shifts = try fields.tensor("shifts", .int32, shape: [outputs]).array(Int32.self)
    guard m0.allSatisfy({ $0 >= 0 }), shifts.allSatisfy({ (0...94).contains($0) }) else {
      throw fields.damaged("a multiplier or shift is out of range")
    }
    multipliers = zip(m0, shifts).map { IntegerMultiplier(m0: $0, shift: $1) }
  }

  /// - Parameter sums: each [rows][channels] in the order in which the bytes lay; `shape` is the graph's.
  func apply(
    _ sums: [(values: UnsafePointer<Int32>, shift: Int32)], bias: [Int64]?, rows: Int, channels: Int, shape: [Int],
    isChannelsLast: Bool, _ context: StepContext
  ) -> PlanValue {
    func finish(_ output: IntegerOutput, plane: Int, _ type: ck_int_type, _ y: UnsafeMutableRawPointer?) {
      guard rows > 0, channels > 0 else { return }
      withExtendedLifetime(bias) {
        var parts = ck_int_parts()
        parts.count = Int32(sums.count)
        func pointer(_ index: Int) -> UnsafePointer<Int32>? { index < sums.count ? sums[index].values : nil }
        func shift(_ index: Int) -> Int32 { index < sums.count ? sums[index].shift : 0 }
        parts.parts = (pointer(0), pointer(1), pointer(2), pointer(3))
        parts.shifts = (shift(0), shift(1), shift(2), shift(3))
        parts.rows = Int64(rows)
        parts.channels = Int64(channels)
        (bias ?? []).withUnsafeBufferPointer {
          parts.bias = bias == nil ? nil : $0.baseAddress
          ck_int_finish_parts(&parts, multipliers, multipliers.count > 1 ? 1 : 0, output, Int64(plane), type, y)
        }
      }
    }
    switch result {
    case .codes(let target):
      let plane = isChannelsLast ? shape[2...].reduce(1, *) : 1
      let type = target.parameters.isSigned ? CK_INT_S16 : CK_INT_U16
      return .runtime(
        .tensor(
          Tensor(of: UInt16.self, as: target.parameters.elementType, shape: shape, pool: context.pool) {
            finish(target.output, plane: plane, type, UnsafeMutableRawPointer($0.baseAddress))
          }))
    case .fixedPoint:
      let stored = IntegerTensor.storedShape(shape, channelsLast: isChannelsLast)
      let codes = Tensor(of: Int32.self, shape: stored, pool: context.pool) {
        finish(
          IntegerOutput(zero: 0, lo: .min, hi: .max), plane: 1, CK_INT_S32, UnsafeMutableRawPointer($0.baseAddress))
      }
      return .wide(WideTensor(codes, shape: shape, isChannelsLast: isChannelsLast))
    }
  }
}

/// Weights of up to 16 bits and activations of up to 16 bits as one to four products of bytes, packed at the first run.
final class SplitProduct {
  struct Content {
    /// Channels, groups, kernel and window; its weights and zero points are left empty.
    var description: ConvolutionDescription
    let operand: SplitOperand
    /// int8 or int16, [outputs][depth...]; unsigned weights are stored less half their range, zero points likewise.
    let weights: Tensor
    let zeros: [Int32]?
    let bias: [Int64]?
    let end: SplitFinish
  }

  private struct Part {
    let packed: PackedConvolution
    /// Which bytes of the operand.
    let input: Int
    let shift: Int32
  }

  let content: Content
  private var packed: [Part] = []

  init(_ content: Content) { self.content = content }

  /// The products of bytes that add up to the accumulator.
  private static func descriptions(_ content: Content) -> [(ConvolutionDescription, input: Int, shift: Int32)] {
    var weights: [(values: [Int8], zeros: [Int32]?, shift: Int32)]
    if content.weights.elementType == .int16 {
      let values = content.weights.array(Int16.self)
      let zeros = content.zeros ?? [Int32](repeating: 0, count: content.description.outputs)
      weights = [
        (values.map { Int8(truncatingIfNeeded: $0 >> 8) }, zeros.map { $0 >> 8 }, 8),
        (values.map { Int8(truncatingIfNeeded: ($0 & 255) - 128) }, zeros.map { ($0 & 255) - 128 }, 0),
      ]
    } else {
      weights = [(content.weights.array(Int8.self), content.zeros, 0)]
    }
    var result: [(ConvolutionDescription, input: Int, shift: Int32)] = []
    for (index, part) in content.operand.parts.enumerated() {
      for weight in weights {
        var description = content.description
        description.inputZero = part.zero
        description.weights = weight.values
        description.weightZeros = weight.zeros
        result.append((description, index, part.shift + weight.shift))
      }
    }
    return result
  }

  /// The output of which a part may leave Int32; nil where none may.
  static func overflow(_ content: Content) throws -> (output: Int, least: Int64, greatest: Int64)? {
    for (description, _, _) in descriptions(content) {
      let bounds = try description.bounds()
      for n in bounds.least.indices
      where bounds.least[n] < Int64(Int32.min) || bounds.greatest[n] > Int64(Int32.max) {
        return (n, bounds.least[n], bounds.greatest[n])
      }
    }
    return nil
  }

  private func prepared() throws -> [Part] {
    if !packed.isEmpty { return packed }
    if let (output, least, greatest) = try Self.overflow(content) {
      throw EngineFileError(
        .damaged, "a part of the accumulator of output \(output) may reach \(least) ... \(greatest)")
    }
    packed = try Self.descriptions(content).map {
      Part(packed: try PackedConvolution($0.0), input: $0.input, shift: $0.shift)
    }
    return packed
  }

  /// Runs each part into accumulators [rows][outputs] and puts them together.
  func run(
    _ bytes: [Tensor], rows: Int, shape: [Int], isChannelsLast: Bool, _ context: StepContext,
    _ body: (PackedConvolution, UnsafePointer<UInt8>, UnsafeMutableRawPointer) throws -> Void
  ) throws -> PlanValue {
    let outputs = content.description.outputs
    let elements = try context.elementCount(rows, outputs)
    _ = try context.elementCount(elements, 4)
    var sums: [(storage: TensorStorage, shift: Int32)] = []
    for part in try prepared() {
      let storage = TensorStorage(byteCount: elements * 4, pool: context.pool)
      try bytes[part.input].withElements(UInt8.self) { try body(part.packed, $0.baseAddress!, storage.base) }
      sums.append((storage, part.shift))
    }
    return withExtendedLifetime(sums) {
      content.end.apply(
        sums.map { (UnsafePointer($0.storage.base.bindMemory(to: Int32.self, capacity: elements)), $0.shift) },
        bias: content.bias, rows: rows, channels: outputs, shape: shape, isChannelsLast: isChannelsLast, context)
    }
  }

  /// Bounds of each accumulator over all codes, exact in 64 bits.
  static func bounds(_ content: Content) -> (least: [Int64], greatest: [Int64]) {
    let outputs = content.description.outputs
    let depth = content.weights.count / max(outputs, 1)
    let values = content.weights.integers ?? []
    let below = Int64(-content.operand.zero)
    let above = Int64(content.operand.highest) - Int64(content.operand.zero)
    var least = content.bias ?? [Int64](repeating: 0, count: outputs)
    var greatest = least
    for n in 0..<outputs {
      let zero = Int64(content.zeros?[n] ?? 0)
      for k in n * depth..<(n + 1) * depth {
        let w = Int64(values[k]) - zero
        least[n] += min(w * below, w * above)
        greatest[n] += max(w * below, w * above)
      }
    }
    return (least, greatest)
  }

  // MARK: Storing

  func store(_ fields: inout FieldWriter) throws {
    content.operand.store("input", &fields)
    try fields.put("weights", tensor: content.weights)
    let outputs = content.description.outputs
    if let zeros = content.zeros { try fields.put("weight_zeros", tensor: Tensor(zeros, shape: [outputs])) }
    if let bias = content.bias { try fields.put("bias", tensor: Tensor(bias, shape: [outputs])) }
    try content.end.store(&fields)
  }

  /// - Parameter complete: the description of weights of this shape.
  init(
    _ fields: inout FieldReader, ranks: ClosedRange<Int>,
    _ complete: ([Int], FieldReader) throws -> ConvolutionDescription
  ) throws {
    let operand = try SplitOperand("input", &fields)
    guard let weights = try fields.tensorOfEither("weights", .int8, .int16), ranks.contains(weights.rank),
      weights.count > 0
    else { throw fields.damaged("the weights are missing or have another shape") }
    let outputs = weights.shape[0]
    let zeros = try fields.tensorIfPresent("weight_zeros", .int32, shape: [outputs])?.array(Int32.self)
    guard zeros?.allSatisfy({ (-32768...32767).contains($0) }) ?? true else {
      throw fields.damaged("a zero point of the weights is out of range")
    }
    let bias = try fields.tensorIfPresent("bias", .int64, shape: [outputs])?.array(Int64.self)
    guard bias?.allSatisfy({ $0.magnitude < 1 << 61 }) ?? true else { throw fields.damaged("a bias is out of range") }
    let end = try SplitFinish(&fields, outputs: outputs)
    content = Content(
      description: try complete(weights.shape, fields), operand: operand, weights: weights, zeros: zeros, bias: bias,
      end: end)
  }
}

extension FieldReader {
  /// A tensor of one of two types.
  mutating func tensorOfEither(
    _ name: String, _ first: ElementType, _ second: ElementType
  ) throws(EngineFileError) -> Tensor? {
    guard case .tensors(let tensors)? = peek(name), tensors.count == 1 else { return nil }
    return try tensorIfPresent(name, tensors[0].elementType == second ? second : first)
  }
}
