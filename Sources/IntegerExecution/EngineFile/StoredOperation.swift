import IntegerKernels
import ONNXTensor

/// What a step does, in a form that can be written to an engine file and read back.
///
/// A kind of step is one type of this protocol, listed in `StoredOperationCatalog`: the plan that was lowered and the
/// plan that was read run the same code. A step whose operation is a mere closure still runs; a plan with one is refused
/// by `EngineWriter` with the node's name.
protocol StoredOperation: SendableMetatype {
  /// The name in the file; never reused for another meaning.
  static var kind: String { get }
  static var layout: StepLayout { get }
  /// How many inputs the step may have.
  static var inputCounts: ClosedRange<Int> { get }

  func store(_ fields: inout FieldWriter) throws
  init(_ fields: inout FieldReader) throws

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?]
}

/// How the bytes of a step's results lie.
enum StepLayout: UInt32 {
  /// Row-major in the graph's shape.
  case plain = 0
  /// [N][spatial][C] for the shape [N, C, spatial].
  case channelsLast = 1
  /// As those of the inputs.
  case asInputs = 2

  var name: String {
    switch self {
    case .plain: "plain"
    case .channelsLast: "channels-last"
    case .asInputs: "as-inputs"
    }
  }
}

enum StoredOperationCatalog {
  static let types: [any StoredOperation.Type] = [
    ImportBytesStep.self, ExportBytesStep.self, QuantizeStep.self, DequantizeStep.self, TableStep.self, AddStep.self,
    MultiplyStep.self, ConcatStep.self, ConvolutionStep.self, MatrixProductStep.self, ActivationProductStep.self,
    MaxPoolStep.self, AveragePoolStep.self, ReductionStep.self, MovementStep.self, OperatorStep.self,
    WideImportStep.self, WideLookupStep.self, WideQuantizeStep.self, WideDequantizeStep.self, WideBorderStep.self,
    WideScaleStep.self, WideClampStep.self, WideFunctionStep.self, WideBinaryStep.self, WideSoftmaxStep.self,
    WideNormalizationStep.self, WideMeanStep.self, WideAveragePoolStep.self, WideMovementStep.self,
    WideMaxPoolStep.self, WideResizeStep.self, TransposedConvolutionStep.self, SplitConvolutionStep.self,
    SplitMatrixProductStep.self, SplitActivationProductStep.self, SixteenImportStep.self, SixteenExportStep.self,
    IntegerMatricesStep.self, IntegerConvolutionStep.self,
  ]

  static let byKind = Dictionary(uniqueKeysWithValues: types.map { ($0.kind, $0) })
}

extension FieldWriter {
  mutating func put(_ name: String, _ parameters: ActivationParameters) {
    put(name + "_scale", float: parameters.scale)
    put(name + "_zero", int: Int(parameters.zero))
    put(name + "_signed", flag: parameters.isSigned)
  }

  mutating func put(_ name: String, _ target: QuantizationTarget) {
    put(name, target.parameters)
    put(name + "_bounds", ints: [Int(target.lowest), Int(target.highest)])
  }

  mutating func put(_ name: String, _ multiplier: IntegerMultiplier) {
    put(name + "_multiplier", int: Int(multiplier.m0))
    put(name + "_shift", int: Int(multiplier.shift))
  }
}

extension FieldReader {
  mutating func parameters(_ name: String) throws(EngineFileError) -> ActivationParameters {
    let scale = try float(name + "_scale")
    let zero = try int(name + "_zero", in: 0...255)
    let isSigned = try flag(name + "_signed")
    guard scale > 0 else { throw damaged("'\(name)_scale' is \(scale)") }
    return ActivationParameters(scale: scale, zeroPoint: Int32(zero) - (isSigned ? 128 : 0), isSigned: isSigned)
  }

  mutating func target(_ name: String) throws(EngineFileError) -> QuantizationTarget {
    let parameters = try parameters(name)
    let bounds = try ints(name + "_bounds", count: 2, in: 0...255)
    guard bounds[0] <= bounds[1] else { throw damaged("'\(name)_bounds' is \(bounds)") }
    return QuantizationTarget(parameters: parameters, lowest: UInt8(bounds[0]), highest: UInt8(bounds[1]))
  }

  mutating func multiplier(_ name: String) throws(EngineFileError) -> IntegerMultiplier {
    let m0 = try int(name + "_multiplier", in: -Int(Int32.max)...Int(Int32.max))
    return IntegerMultiplier(m0: Int32(m0), shift: Int32(try int(name + "_shift", in: 0...62)))
  }

  mutating func rounding() throws(EngineFileError) -> IntegerRounding {
    let name = try string("rounding")
    guard let rounding = IntegerRounding(rawValue: name) else { throw damaged("rounding '\(name)' is not known") }
    return rounding
  }
}
