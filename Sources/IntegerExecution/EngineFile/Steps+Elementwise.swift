import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor

/// One byte for each byte: unary functions and changes of scale.
struct TableStep: StoredOperation {
  static let kind = "table"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1
  let table: [UInt8]

  init(_ table: [UInt8]) { self.table = table }
  func store(_ fields: inout FieldWriter) throws { try fields.put("table", tensor: Tensor(table, shape: [256])) }
  init(_ fields: inout FieldReader) throws { table = try fields.tensor("table", .uint8, shape: [256]).array() }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    [.integer(try integerInput(inputs, 0).map(table, context.pool))]
  }
}

/// Sum or difference of two quantized tensors.
struct AddStep: StoredOperation {
  static let kind = "add"
  static let layout = StepLayout.asInputs
  static let inputCounts = 2...2
  let a: ActivationParameters
  let b: ActivationParameters
  let target: QuantizationTarget
  /// Multipliers of the exact rule; nil under the float32 rule.
  let multipliers: (a: IntegerMultiplier, b: IntegerMultiplier)?

  init(
    _ a: ActivationParameters, _ b: ActivationParameters, _ target: QuantizationTarget,
    _ multipliers: (a: IntegerMultiplier, b: IntegerMultiplier)?
  ) {
    self.a = a
    self.b = b
    self.target = target
    self.multipliers = multipliers
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("rounding", string: (multipliers == nil ? IntegerRounding.binary32 : .fixed).rawValue)
    fields.put("a", a)
    fields.put("b", b)
    fields.put("output", target)
    guard let multipliers else { return }
    fields.put("a", multipliers.a)
    fields.put("b", multipliers.b)
  }

  init(_ fields: inout FieldReader) throws {
    let rounding = try fields.rounding()
    a = try fields.parameters("a")
    b = try fields.parameters("b")
    target = try fields.target("output")
    multipliers = rounding == .fixed ? (try fields.multiplier("a"), try fields.multiplier("b")) : nil
  }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let output = target.output
    guard let multipliers else {
      let scale = target.parameters.scale
      return [
        .integer(
          try combine(inputs, context) { loop, x, y, out in
            var c = loop.c
            ck_int_add_float32(&c, x, a.zero, a.scale, y, b.zero, b.scale, scale, output, out)
          })
      ]
    }
    let spec = IntegerAddition(a_zero: a.zero, b_zero: b.zero, ma: multipliers.a, mb: multipliers.b, out: output)
    return [
      .integer(try combine(inputs, context) { loop, x, y, out in IntegerKernels.add(spec, loop, x, y, into: out) })
    ]
  }
}

/// Product of two quantized tensors, element by element.
struct MultiplyStep: StoredOperation {
  static let kind = "multiply"
  static let layout = StepLayout.asInputs
  static let inputCounts = 2...2
  let a: ActivationParameters
  let b: ActivationParameters
  let target: QuantizationTarget
  let multiplier: IntegerMultiplier

  init(
    _ a: ActivationParameters, _ b: ActivationParameters, _ target: QuantizationTarget, _ multiplier: IntegerMultiplier
  ) {
    self.a = a
    self.b = b
    self.target = target
    self.multiplier = multiplier
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("a", a)
    fields.put("b", b)
    fields.put("output", target)
    fields.put("product", multiplier)
  }

  init(_ fields: inout FieldReader) throws {
    a = try fields.parameters("a")
    b = try fields.parameters("b")
    target = try fields.target("output")
    multiplier = try fields.multiplier("product")
  }

  private var spec: IntegerProduct {
    IntegerProduct(a_zero: a.zero, b_zero: b.zero, m: multiplier, out: target.output)
  }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    [.integer(try combine(inputs, context) { loop, x, y, out in multiply(spec, loop, x, y, into: out) })]
  }

  /// The products of two tables, entry by entry.
  func table(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
    guard let loop = BroadcastLoop([left.count], [right.count]) else { return left }
    return [UInt8](unsafeUninitializedCapacity: left.count) { out, count in
      if let base = out.baseAddress { multiply(spec, loop, left, right, into: base) }
      count = left.count
    }
  }
}

/// Joins tensors of equal parameters along an axis.
struct ConcatStep: StoredOperation {
  static let kind = "concat"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1 << 20
  let axis: Int

  init(axis: Int) { self.axis = axis }
  func store(_ fields: inout FieldWriter) { fields.put("axis", int: axis) }
  init(_ fields: inout FieldReader) throws { axis = try fields.int("axis", in: -64...64) }

  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let tensors = try inputs.indices.map { try integerInput(inputs, $0) }
    return [.integer(try concatenate(tensors, axis: axis, context))]
  }
}
