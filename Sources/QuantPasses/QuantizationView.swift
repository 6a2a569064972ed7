import ONNXGraph
import ONNXTensor
import QuantCore

/// A graph with its Q/DQ pairs made transparent: what quantization rules see, before insertion and after.
///
/// A tensor is a value that computes something. The output of a DequantizeLinear behind a QuantizeLinear is the same
/// tensor as what was quantized; a DequantizeLinear of anything else (a stored weight, an integer input) makes a tensor
/// that is quantized by birth.
struct QuantizationView {
  /// What is between a tensor and its readers.
  struct Pair {
    /// nil for a tensor that is quantized by birth.
    let quantize: Node?
    /// nil where only a QuantizeLinear is there.
    let dequantize: Node?
    let parameters: QuantizationParameters?
  }

  struct Use {
    let node: Node
    let index: Int
    /// The reader sees the dequantized tensor.
    let isDequantized: Bool
  }

  let graph: Graph
  let constants: Constants
  /// The nodes other than those of Q/DQ pairs, in order.
  private(set) var nodes: [Node] = []
  private(set) var pairs: [Value: Pair] = [:]
  private(set) var uses: [Value: [Use]] = [:]
  private(set) var outputs = Set<Value>()
  private let members: Set<Node>
  private var sources: [Value: Value] = [:]
  private let inputs: Set<Value>

  /// - Parameter outer: the graphs around it; their pairs count, their nodes do not.
  init(_ graph: Graph, within outer: [Graph] = []) {
    self.graph = graph
    constants = Constants(graph: graph, outer: outer)
    members = Set(graph.nodes)
    inputs = Set(graph.inputs.map(\.value))
    let visible = outer.flatMap(\.nodes) + graph.nodes
    for node in visible where node.isStandard("DequantizeLinear") {
      guard let output = node.output(0), let input = node.input(0) else { continue }
      let parameters = readParameters(node)
      if let quantize = input.producer, quantize.isStandard("QuantizeLinear"), let tensor = quantize.input(0) {
        sources[output] = tensor
        if pairs[tensor]?.dequantize == nil {
          pairs[tensor] = Pair(quantize: quantize, dequantize: node, parameters: parameters)
        }
      } else {
        pairs[output] = Pair(quantize: nil, dequantize: node, parameters: parameters)
      }
    }
    for node in visible where node.isStandard("QuantizeLinear") {
      guard let tensor = node.input(0), pairs[tensor] == nil else { continue }
      pairs[tensor] = Pair(quantize: node, dequantize: nil, parameters: readParameters(node))
    }
    for node in graph.nodes where !node.isStandard("QuantizeLinear", "DequantizeLinear") {
      nodes.append(node)
      for (index, value) in node.inputs.enumerated() {
        if let value { add(Use(node: node, index: index, isDequantized: isDequantized(value)), of: value) }
      }
      for value in node.capturedValues {
        add(Use(node: node, index: -1, isDequantized: isDequantized(value)), of: value)
      }
    }
    for port in graph.outputs { outputs.insert(tensor(port.value)) }
  }

  private mutating func add(_ use: Use, of value: Value) { uses[tensor(value), default: []].append(use) }

  /// The tensor that a value carries.
  func tensor(_ value: Value) -> Value {
    var value = value
    while let source = sources[value] { value = source }
    return value
  }

  func isDequantized(_ value: Value) -> Bool {
    sources[value] != nil || pairs[value].map { $0.quantize == nil } ?? false
  }

  /// Whether a node is one of this graph, not of one around it or in it.
  func isMember(_ node: Node) -> Bool { members.contains(node) }

  /// The node that computes a tensor; nil for inputs, constants and tensors that are quantized by birth.
  func producer(_ tensor: Value) -> Node? {
    guard let node = tensor.producer, members.contains(node), !node.isStandard("DequantizeLinear") else { return nil }
    return node
  }

  func isInput(_ tensor: Value) -> Bool { inputs.contains(tensor) && !constants.isConstant(tensor) }

  /// A constant, stored as float or as integers behind DequantizeLinear.
  func isConstant(_ tensor: Value) -> Bool {
    if constants.isConstant(tensor) { return true }
    guard let node = pairs[tensor]?.dequantize, let codes = node.input(0) else { return false }
    return pairs[tensor]?.quantize == nil && constants.isConstant(codes)
  }

  /// The stored shape of a constant tensor.
  func constantShape(_ tensor: Value) -> [Int]? {
    if let shape = constants.shape(tensor) { return shape }
    return pairs[tensor]?.dequantize?.input(0).flatMap(constants.shape)
  }

  /// An integer output: a QuantizeLinear that is read by others than DequantizeLinear.
  func leavesAsInteger(_ tensor: Value) -> Bool {
    guard let output = pairs[tensor]?.quantize?.output(0) else { return false }
    return graph.isOutput(output) || output.uses.contains { !$0.node.isStandard("DequantizeLinear") }
  }

  private func readParameters(_ node: Node) -> QuantizationParameters? {
    guard let scale = constants.floats(node.input(1)), !scale.isEmpty else { return nil }
    let stored = constants.tensor(node.input(2))
    let type = stored?.elementType ?? node.input(0).flatMap { constants.elementType($0) } ?? .uint8
    let zeroPoints = stored?.integers ?? [Int](repeating: 0, count: scale.count)
    guard zeroPoints.count == scale.count else { return nil }
    let shape = constants.shape(node.input(1)) ?? []
    // Blocked scales have the rank of the data; nothing here needs to read those.
    guard shape.count <= 1 else { return nil }
    if scale.count == 1 {
      return QuantizationParameters(elementType: type, scale: scale[0], zeroPoint: Int32(clamping: zeroPoints[0]))
    }
    return QuantizationParameters(
      elementType: type, scales: scale, zeroPoints: zeroPoints.map { Int32(clamping: $0) }, axis: node.int("axis") ?? 1)
  }
}
