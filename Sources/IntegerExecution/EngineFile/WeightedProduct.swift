import FloatExecution
import IntegerKernels
import ONNXTensor

/// The weights of a step: packed for this machine at once, or, where they come from a file, at the first run.
final class WeightedProduct {
  typealias Content = (description: ConvolutionDescription, end: AccumulatorFinish)

  private var packed: (PackedConvolution, AccumulatorFinish)?
  /// The weights in their canonical layout, kept where the plan is to be stored.
  let content: Content?
  private let load: (() throws -> Content)?

  /// The caller has proved with `bounds` that no accumulator leaves Int32.
  init(_ description: ConvolutionDescription, _ end: AccumulatorFinish, keepsContent: Bool) throws {
    packed = (try PackedConvolution(description), end)
    content = keepsContent ? (description, end) : nil
    load = nil
  }

  init(loading load: @escaping () throws -> Content) {
    self.load = load
    content = nil
  }

  func prepared() throws -> (packed: PackedConvolution, end: AccumulatorFinish) {
    if let packed { return packed }
    guard let (description, end) = try load?() else { throw ExecutionError(.failed, "the weights are gone") }
    let bounds = try description.bounds()
    for output in 0..<description.outputs
    where bounds.least[output] < Int64(Int32.min) || bounds.greatest[output] > Int64(Int32.max) {
      throw EngineFileError(.damaged, "the accumulator of output \(output) may leave 32 bits")
    }
    let result = (try PackedConvolution(description), end)
    packed = result
    return result
  }

  func stored() throws(EngineFileError) -> Content {
    guard let content else {
      throw EngineFileError(.unwritable, "the plan was not lowered to be stored")
    }
    return content
  }
}

extension FieldWriter {
  /// Weights in the shape given, zero points and biases.
  mutating func put(_ description: ConvolutionDescription, shape: [Int]) throws(EngineFileError) {
    let outputs = description.outputs
    put("input_zero", int: Int(description.inputZero))
    try put("weights", tensor: Tensor(description.weights, shape: shape))
    if let zeros = description.weightZeros { try put("weight_zeros", tensor: Tensor(zeros, shape: [outputs])) }
    if let bias = description.bias { try put("bias", tensor: Tensor(bias, shape: [outputs])) }
  }

  /// What becomes of accumulators.
  mutating func put(_ end: AccumulatorFinish) throws(EngineFileError) {
    put("rounding", string: end.options.rounding.rawValue)
    switch end.finish {
    case .dequantize: put("finish", string: "dequantize")
    case .wide(let wide):
      put("finish", string: "fixed-point")
      try wide.store(&self)
    case .requantize(let target):
      put("finish", string: "requantize")
      put("output", target)
    case .add(let operand, let target):
      put("finish", string: "add")
      put("output", target)
      put("residual", operand.parameters)
      put("residual", end.residualMultiplier ?? IntegerMultiplier(m0: 0, shift: 0))
    }
    let count = end.scales.count
    try put("scales", tensor: Tensor(end.scales, shape: [count]))
    guard !end.multipliers.isEmpty else { return }
    try put("multipliers", tensor: Tensor(end.multipliers.map(\.m0), shape: [count]))
    try put("shifts", tensor: Tensor(end.multipliers.map(\.shift), shape: [count]))
    try put("ratios", tensor: Tensor(end.patterns.map(Float.init(bitPattern:)), shape: [count]))
  }
}

/// Weights of a file, checked for type and shape; their values are read and checked when they are packed.
struct StoredWeights {
  let inputZero: Int32
  let weights: Tensor
  let zeros: Tensor?
  let bias: Tensor?

  init(_ fields: inout FieldReader, ranks: ClosedRange<Int>) throws(EngineFileError) {
    inputZero = Int32(try fields.int("input_zero", in: 0...255))
    weights = try fields.tensor("weights", .int8)
    guard ranks.contains(weights.rank), weights.count > 0 else {
      throw fields.damaged("the weights have shape \(weights.shape)")
    }
    zeros = try fields.tensorIfPresent("weight_zeros", .int32, shape: [weights.shape[0]])
    bias = try fields.tensorIfPresent("bias", .int32, shape: [weights.shape[0]])
  }

  func description(channels: Int) throws(EngineFileError) -> ConvolutionDescription {
    var description = ConvolutionDescription(
      channels: channels, outputs: weights.shape[0], inputZero: inputZero, weights: weights.array())
    description.weightZeros = zeros?.array()
    description.bias = bias?.array()
    guard description.weightZeros?.allSatisfy({ (-256...256).contains($0) }) ?? true else {
      throw EngineFileError(.damaged, "a zero point of the weights is out of range")
    }
    return description
  }
}

/// The end of a weighted step as it is in a file.
struct StoredFinish {
  private let rounding: IntegerRounding
  private let finish: LinearFinish
  private let scales: Tensor
  private let multipliers: (m0: Tensor, shifts: Tensor, ratios: Tensor)?
  private let residual: IntegerMultiplier?

  init(_ fields: inout FieldReader, outputs: Int) throws(EngineFileError) {
    rounding = try fields.rounding()
    let name = try fields.string("finish")
    var residual: IntegerMultiplier?
    switch name {
    case "dequantize": finish = .dequantize
    case "fixed-point": finish = .wide(try WideFinish(&fields, outputs: outputs))
    case "requantize": finish = .requantize(try fields.target("output"))
    case "add":
      let target = try fields.target("output")
      finish = .add(Lowering.Operand(slot: 0, parameters: try fields.parameters("residual")), target)
      residual = try fields.multiplier("residual")
    default: throw fields.damaged("finish '\(name)' is not known")
    }
    self.residual = residual
    scales = try fields.tensor("scales", .float32, shape: [outputs])
    switch finish {
    case .dequantize, .wide: multipliers = nil
    case .requantize, .add:
      multipliers = (
        try fields.tensor("multipliers", .int32, shape: [outputs]),
        try fields.tensor("shifts", .int32, shape: [outputs]),
        try fields.tensor("ratios", .float32, shape: [outputs])
      )
    }
  }

  var hasResidual: Bool { if case .add = finish { true } else { false } }

  func end() throws(EngineFileError) -> AccumulatorFinish {
    let scales = scales.array(Float.self)
    let m0 = multipliers?.m0.array(Int32.self) ?? []
    let shifts = multipliers?.shifts.array(Int32.self) ?? []
    let ratios = multipliers?.ratios.array(Float.self) ?? []
    guard (scales + ratios).allSatisfy({ $0.isFinite && $0 >= 0 }), m0.allSatisfy({ $0 >= 0 }),
      shifts.allSatisfy({ (0...62).contains($0) })
    else { throw EngineFileError(.damaged, "a scale, multiplier or shift is out of range") }
    return AccumulatorFinish(
      finish: finish, options: IntegerOptions(rounding: rounding), scales: scales,
      multipliers: zip(m0, shifts).map { IntegerMultiplier(m0: $0, shift: $1) }, patterns: ratios.map(\.bitPattern),
      residualMultiplier: residual)
  }
}

extension AccumulatorFinish {
  init(
    finish: LinearFinish, options: IntegerOptions, scales: [Float], multipliers: [IntegerMultiplier],
    patterns: [UInt32], residualMultiplier: IntegerMultiplier?
  ) {
    self.finish = finish
    self.options = options
    self.scales = scales
    self.multipliers = multipliers
    self.patterns = patterns
    self.residualMultiplier = residualMultiplier
  }
}
