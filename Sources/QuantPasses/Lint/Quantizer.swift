import ONNXGraph
import ONNXTensor

/// What a QuantizeLinear or DequantizeLinear node says, as far as its operands are constants.
struct Quantizer {
  let node: Node
  let isQuantize: Bool
  let scales: [Float]?
  let scaleShape: [Int]?
  var zeroPoints: [Int]?
  let hasZeroPoint: Bool
  /// onnxruntime turns int8 into uint8 before it looks for kernels.
  var type: ElementType
  let axis: Int
  let blockSize: Int

  init(_ node: Node, _ constants: Constants) {
    self.node = node
    isQuantize = node.opType == "QuantizeLinear"
    let scale = constants.tensor(node.input(1))
    scales = scale?.floats
    scaleShape = scale?.shape
    hasZeroPoint = node.input(2) != nil
    let stored = constants.tensor(node.input(2))
    zeroPoints =
      hasZeroPoint
      ? stored.flatMap { $0.integers ?? $0.floats?.map { $0 == 0 ? 0 : 1 } }
      : scale.map { [Int](repeating: 0, count: $0.count) }
    type = Self.elementType(node, constants, isQuantize: isQuantize)
    axis = node.int("axis") ?? 1
    blockSize = node.int("block_size") ?? 0
  }

  private static func elementType(_ node: Node, _ constants: Constants, isQuantize: Bool) -> ElementType {
    if let value = node.input(2) {
      if let type = constants.elementType(value) ?? value.type?.elementType { return type }
    }
    if isQuantize {
      if let code = node.int("output_dtype"), let number = Int32(exactly: code), number != 0,
        let type = ElementType(rawValue: number)
      {
        return type
      }
      return .uint8
    }
    var value = node.input(0)
    for _ in 0..<64 {
      guard let current = value else { break }
      if let type = constants.elementType(current) ?? current.type?.elementType { return type }
      guard let producer = current.producer, producer.isStandard else { break }
      if producer.opType == "QuantizeLinear" { return elementType(producer, constants, isQuantize: true) }
      value = producer.input(0)
    }
    return .uint8
  }

  var isScalar: Bool { scales?.count == 1 }
  var isConstant: Bool { scales != nil && zeroPoints != nil }
  /// All zero points; one alone stands for all channels.
  func hasZeroPoint(_ wanted: Int) -> Bool { zeroPoints.map { $0.allSatisfy { $0 == wanted } } ?? false }

  func hasParameters(of other: Quantizer) -> Bool {
    guard let scales, let zeroPoints, let theirs = other.scales, let points = other.zeroPoints else { return false }
    return type == other.type && scales == theirs && zeroPoints == points
      && (scales.count == 1 || (axis == other.axis && blockSize == other.blockSize))
  }

  var lowest: Int? { Self.range(type)?.lowerBound }
  var highest: Int? { Self.range(type)?.upperBound }

  static func range(_ type: ElementType) -> ClosedRange<Int>? {
    switch type {
    case .int8: -128...127
    case .uint8: 0...255
    case .int16: -32768...32767
    case .uint16: 0...65535
    case .int4: -8...7
    case .uint4: 0...15
    case .int2: -2...1
    case .uint2: 0...3
    case .int32: Int(Int32.min)...Int(Int32.max)
    default: nil
    }
  }

  /// How predictions call arithmetic on this type.
  static func arithmetic(_ type: ElementType) -> String {
    switch type {
    case .int8, .uint8: "int8"
    case .int16, .uint16: "int16"
    case .int4, .uint4: "int4"
    case .int2, .uint2: "int2"
    default: type.name.hasPrefix("float8") ? "float8" : "float"
    }
  }
}

/// A graph and its Q/DQ nodes, for rules.
struct LintContext {
  let model: Model
  let graph: Graph
  let constants: Constants
  let quantizers: [Node: Quantizer]
  let outputs: Set<Value>
  /// Values that nested graphs read.
  let captured: Set<Value>

  /// `outer`: the graphs around it, whose constants it may read.
  init(_ model: Model, _ graph: Graph, outer: [Graph] = []) {
    self.model = model
    self.graph = graph
    let constants = Constants(graph: graph, outer: outer)
    self.constants = constants
    var quantizers: [Node: Quantizer] = [:]
    var captured = Set<Value>()
    for node in graph.nodes {
      if Self.isQuantizer(node) { quantizers[node] = Quantizer(node, constants) }
      for value in node.capturedValues { captured.insert(value) }
    }
    self.quantizers = quantizers
    self.captured = captured
    outputs = Set(graph.outputs.map(\.value))
  }

  static func isQuantizer(_ node: Node) -> Bool {
    ["QuantizeLinear", "DequantizeLinear"].contains(node.opType)
      && (node.isStandard || node.canonicalDomain == "com.microsoft")
  }

  func quantize(_ node: Node?) -> Quantizer? { node.flatMap { quantizers[$0] }.flatMap { $0.isQuantize ? $0 : nil } }
  func dequantize(_ node: Node?) -> Quantizer? { node.flatMap { quantizers[$0] }.flatMap { $0.isQuantize ? nil : $0 } }

  /// The DequantizeLinear that produces an operand.
  func dequantize(before node: Node, _ index: Int) -> Quantizer? { dequantize(node.input(index)?.producer) }

  /// The operand is a constant, or a constant behind Q/DQ.
  func isConstantOperand(_ value: Value?) -> Bool {
    guard var value else { return false }
    for _ in 0..<8 {
      if constants.isConstant(value) { return true }
      guard let node = value.producer, quantizers[node] != nil, let next = node.input(0) else { return false }
      value = next
    }
    return false
  }

  /// The shape of a constant, also behind Q/DQ.
  func constantShape(_ value: Value?) -> [Int]? {
    guard var value else { return nil }
    for _ in 0..<8 {
      if let shape = constants.shape(value) { return shape }
      guard let node = value.producer, quantizers[node] != nil, let next = node.input(0) else { return nil }
      value = next
    }
    return nil
  }

  /// The QuantizeLinear nodes that read a value.
  func quantizes(_ value: Value?) -> [Quantizer] { value?.consumers.compactMap { quantize($0) } ?? [] }
}
