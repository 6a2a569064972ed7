import IntegerKernels
import ONNXTensor

/// 8-bit integers of the graph to biased bytes.
struct ImportBytesStep: StoredOperation {
  static let kind = "import-bytes"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1

  init() {}
  func store(_ fields: inout FieldWriter) {}
  init(_ fields: inout FieldReader) throws {}

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    guard let tensor = try runtimeInput(inputs, 0).tensor, tensor.elementType == .int8 || tensor.elementType == .uint8
    else { throw BorderError("the value is not a tensor of 8-bit integers") }
    return [.integer(IntegerTensor(standard: tensor, context.pool))]
  }
}

/// Biased bytes to int8 or uint8.
struct ExportBytesStep: StoredOperation {
  static let kind = "export-bytes"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let isSigned: Bool

  init(isSigned: Bool) { self.isSigned = isSigned }
  func store(_ fields: inout FieldWriter) { fields.put("signed", flag: isSigned) }
  init(_ fields: inout FieldReader) throws { isSigned = try fields.flag("signed") }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let bytes = try integerInput(inputs, 0)
    return [.runtime(.tensor(bytes.standard(isSigned ? .int8 : .uint8, context.pool)))]
  }
}

/// Reals to bytes.
struct QuantizeStep: StoredOperation {
  static let kind = "quantize"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let target: QuantizationTarget

  init(_ target: QuantizationTarget) { self.target = target }
  func store(_ fields: inout FieldWriter) { fields.put("output", target) }
  init(_ fields: inout FieldReader) throws { target = try fields.target("output") }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    guard let tensor = try runtimeInput(inputs, 0).tensor else { throw BorderError("the value is not a tensor") }
    return [.integer(try Border.quantize(tensor, target, context))]
  }
}

/// Bytes to reals.
struct DequantizeStep: StoredOperation {
  static let kind = "dequantize"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  let parameters: ActivationParameters

  init(_ parameters: ActivationParameters) { self.parameters = parameters }
  func store(_ fields: inout FieldWriter) { fields.put("input", parameters) }
  init(_ fields: inout FieldReader) throws { parameters = try fields.parameters("input") }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    [.runtime(.tensor(Border.dequantize(try integerInput(inputs, 0), parameters, context)))]
  }
}

/// The value that a step is given at `index`.
func runtimeInput(_ inputs: [PlanValue?], _ index: Int) throws -> RuntimeValue {
  guard index < inputs.count, case .runtime(let value) = inputs[index] else {
    throw BorderError("input \(index) has no value")
  }
  return value
}
