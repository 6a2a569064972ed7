import CKernels
import FloatExecution
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

// The stored forms of the steps on fixed-point codes.

extension FieldReader {
  fileprivate mutating func fraction(_ name: String = "fraction") throws(EngineFileError) -> Int32 {
    Int32(try int(name, in: 0...30))
  }
  fileprivate mutating func code(_ name: String) throws(EngineFileError) -> Int32 {
    Int32(try int(name, in: Int(Int32.min)...Int(Int32.max)))
  }
}

extension WideImportStep {
  static let kind = "codes-constant"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) {}
  init(_ fields: inout FieldReader) {}
}

extension WideLookupStep {
  static let kind = "codes-table"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) throws { try fields.put("table", tensor: Tensor(table, shape: [256])) }
  init(_ fields: inout FieldReader) throws { table = try fields.tensor("table", .int32, shape: [256]).array() }
}

extension WideQuantizeStep {
  static let kind = "codes-quantize"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) {
    fields.put("codes", multiplier)
    fields.put("output", target)
  }
  init(_ fields: inout FieldReader) throws {
    multiplier = try fields.multiplier("codes")
    target = try fields.target("output")
  }
}

extension WideDequantizeStep {
  static let kind = "codes-dequantize"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) { fields.put("fraction", int: Int(fraction)) }
  init(_ fields: inout FieldReader) throws { fraction = try fields.fraction() }
}

extension WideBorderStep {
  static let kind = "codes-mask"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) {
    fields.put("fraction", int: Int(fraction))
    fields.put("limit", int: Int(limit))
  }
  init(_ fields: inout FieldReader) throws {
    fraction = try fields.fraction()
    limit = Int32(try fields.int("limit", in: 0...Int(Int32.max)))
  }
}

extension WideScaleStep {
  static let kind = "codes-scale"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) { fields.put("codes", multiplier) }
  init(_ fields: inout FieldReader) throws { multiplier = try fields.multiplier("codes") }
}

extension WideClampStep {
  static let kind = "codes-clamp"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) {
    fields.put("low", int: Int(low))
    fields.put("high", int: Int(high))
  }
  init(_ fields: inout FieldReader) throws {
    low = try fields.code("low")
    high = try fields.code("high")
  }
}

extension WideFunctionStep {
  static let kind = "codes-function"
  static let layout = StepLayout.asInputs
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) throws {
    fields.put("fractions", ints: [Int(fractions.x), Int(fractions.y)])
    fields.put("core", int: Int(core))
    fields.put("left", ints: [Int(left.slope), Int(left.intercept)])
    fields.put("right", ints: [Int(right.slope), Int(right.intercept)])
    try fields.put("nodes", tensor: Tensor(nodes, shape: [nodes.count]))
  }
  init(_ fields: inout FieldReader) throws {
    let codes = Int(Int32.min)...Int(Int32.max)
    let both = try fields.ints("fractions", count: 2, in: 0...30)
    fractions = (Int32(both[0]), Int32(both[1]))
    core = Int32(try fields.int("core", in: (13 - both[0])...(31 - both[0])))
    let left = try fields.ints("left", count: 2, in: codes)
    let right = try fields.ints("right", count: 2, in: codes)
    self.left = (Int32(left[0]), Int32(left[1]))
    self.right = (Int32(right[0]), Int32(right[1]))
    nodes = try fields.tensor("nodes", .int32, shape: [WideLines.segments + 1]).array()
  }
}

extension WideBinaryStep {
  static let kind = "codes-binary"
  static let layout = StepLayout.asInputs
  static let inputCounts = 2...2
  func store(_ fields: inout FieldWriter) {
    fields.put("operation", string: operation.rawValue)
    fields.put("fractions", ints: [Int(fractions.a), Int(fractions.b), Int(fractions.y)])
  }
  init(_ fields: inout FieldReader) throws {
    let name = try fields.string("operation")
    guard let operation = Operation(rawValue: name) else { throw fields.damaged("operation '\(name)' is not known") }
    self.operation = operation
    let three = try fields.ints("fractions", count: 3, in: 0...30)
    fractions = (Int32(three[0]), Int32(three[1]), Int32(three[2]))
  }
}

extension WideSoftmaxStep {
  static let kind = "codes-softmax"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) {
    fields.put("fraction", int: Int(fraction))
    fields.put("axis", int: axis)
    fields.put("flattens", flag: flattens)
  }
  init(_ fields: inout FieldReader) throws {
    fraction = try fields.fraction()
    axis = try fields.int("axis", in: -64...64)
    flattens = try fields.flag("flattens")
  }
}

extension WideNormalizationStep {
  static let kind = "codes-normalize"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) throws {
    fields.put("fractions", ints: [Int(fractions.x), Int(fractions.y), Int(gammaFraction), Int(betaFraction)])
    fields.put("centred", flag: isCentred)
    fields.put("epsilon", ints: [Int(epsilon.m0), Int(epsilon.shift)])
    fields.put("axis", int: axis)
    try fields.put("gamma", tensor: Tensor(gamma, shape: [gamma.count]))
    if let beta { try fields.put("beta", tensor: Tensor(beta, shape: [beta.count])) }
  }
  init(_ fields: inout FieldReader) throws {
    let four = try fields.ints("fractions", count: 4, in: 0...30)
    guard four[1] <= 24, four[3] <= 24 else { throw fields.damaged("'fractions' is \(four)") }
    fractions = (Int32(four[0]), Int32(four[1]))
    gammaFraction = Int32(four[2])
    betaFraction = Int32(four[3])
    isCentred = try fields.flag("centred")
    let pair = try fields.ints("epsilon", count: 2, in: 0...Int(Int32.max))
    guard pair[1] <= 250 else { throw fields.damaged("'epsilon' is \(pair)") }
    epsilon = ck_int_multiplier(m0: Int32(pair[0]), shift: Int32(pair[1]))
    axis = try fields.int("axis", in: -64...64)
    let gamma = try fields.tensor("gamma", .int32)
    guard (1...1 << 20).contains(gamma.count) else { throw fields.damaged("'gamma' has \(gamma.count) elements") }
    self.gamma = gamma.array()
    beta = try fields.tensorIfPresent("beta", .int32, shape: [gamma.count])?.array()
  }
}

extension WideMeanStep {
  static let kind = "codes-mean"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) {
    fields.put("keeps_axes", flag: keeps)
    if let axes { fields.put("axes", ints: axes) }
  }
  init(_ fields: inout FieldReader) throws {
    keeps = try fields.flag("keeps_axes")
    axes = try fields.intsIfPresent("axes")
    guard axes?.allSatisfy((-64...64).contains) ?? true else { throw fields.damaged("'axes' cannot be") }
  }
}

extension WideAveragePoolStep {
  static let kind = "codes-average-pool"
  static let layout = StepLayout.channelsLast
  static let inputCounts = 1...1
  func store(_ fields: inout FieldWriter) throws {
    try window.store(&fields)
    fields.put("count_include_pad", flag: includesPadding)
  }
  init(_ fields: inout FieldReader) throws {
    window = try WindowFields(&fields)
    includesPadding = try fields.flag("count_include_pad")
  }
}

extension WideMovementStep {
  static let kind = "codes-move"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1 << 20
  func store(_ fields: inout FieldWriter) {
    fields.put("operator", int: fields.operators.add(node))
    fields.put("output", int: output)
    if let fill { fields.put("fill", int: Int(fill)) }
  }
  init(_ fields: inout FieldReader) throws {
    let constants = fields.constants
    let (node, operators) = try fields.embeddedNode(inputs: constants.count)
    self.node = node
    output = try fields.int("output", in: 0...1 << 20)
    guard output < node.outputs.count else { throw fields.damaged("'\(node.opType)' has no output \(output)") }
    let fill = try fields.intsIfPresent("fill")
    guard fill.map({ $0.count == 1 && Int32(exactly: $0[0]) != nil }) ?? true, fill == nil || constants.count > 2 else {
      throw fields.damaged("'fill' cannot be")
    }
    self.fill = fill.map { Int32($0[0]) }
    let known = constants.enumerated().map { MovementStep.isQuantized($0.offset, of: node) ? nil : $0.element }
    kernel = LazyKernel { try operators.context.prepare(node, constants: known) }
  }
}
