import ONNXGraph
import ONNXTensor

/// A light copy of a graph on which the rewriting of an engine is played; the graph itself stays as it is.
final class EngineGraph {
  final class Edge {
    /// nil for an edge that the engine made.
    let value: Value?
    var producer: Item?
    var readers: [Reader] = []
    var isOutput = false

    init(_ value: Value?) { self.value = value }
  }

  struct Reader {
    let item: Item
    let index: Int
  }

  final class Item {
    let node: Node?
    let opType: String
    var inputs: [Edge?] = []
    var outputs: [Edge?] = []
    var quantizer: Quantizer?
    /// The engine quantizes the float weight and bias of this node itself.
    var quantizesOperands = false
    /// A Q whose input is known when the model is loaded.
    var readsConstant = false
    /// A MatMul that took in the Add behind it.
    var becomesGemm = false

    init(_ node: Node?, _ opType: String) {
      self.node = node
      self.opType = opType
    }

    func input(_ index: Int) -> Edge? { index < inputs.count ? inputs[index] : nil }
  }

  let context: LintContext
  private(set) var items: [Item] = []
  private var edges: [Value: Edge] = [:]

  init(_ context: LintContext) {
    self.context = context
    let ordered = context.graph.topologicalOrder() ?? context.graph.nodes
    for node in ordered {
      let item = Item(node, node.opType)
      item.quantizer = context.quantizers[node]
      item.inputs = node.inputs.map { $0.map(edge) }
      item.outputs = node.outputs.map { $0.map(edge) }
      for (index, input) in item.inputs.enumerated() { input?.readers.append(Reader(item: item, index: index)) }
      for output in item.outputs { output?.producer = item }
      items.append(item)
    }
    for value in context.outputs.union(context.captured) { edges[value]?.isOutput = true }
  }

  private func edge(_ value: Value) -> Edge {
    if let known = edges[value] { return known }
    let made = Edge(value)
    edges[value] = made
    return made
  }

  func isConstant(_ edge: Edge?) -> Bool { edge?.value.map { context.constants.isConstant($0) } ?? false }

  func setInput(_ item: Item, _ index: Int, _ edge: Edge) {
    item.inputs[index]?.readers.removeAll { $0.item === item && $0.index == index }
    item.inputs[index] = edge
    edge.readers.append(Reader(item: item, index: index))
  }

  func drop(_ item: Item) { items.removeAll { $0 === item } }

  /// The item reads nothing any more.
  func detach(_ item: Item) {
    for edge in item.inputs { edge?.readers.removeAll { $0.item === item } }
  }

  /// Takes out an item with one input and one output that passes its input through.
  func bypass(_ item: Item) {
    guard let input = item.input(0), let output = item.outputs.first ?? nil else { return }
    for (index, edge) in item.inputs.enumerated() {
      edge?.readers.removeAll { $0.item === item && $0.index == index }
    }
    for reader in output.readers { setInput(reader.item, reader.index, input) }
    items.removeAll { $0 === item }
  }

  /// Puts Q and one DQ per reader between an edge and those readers, without any before an output of the graph; the new
  /// DQ items, in order.
  @discardableResult
  func insertPair(_ edge: Edge, _ readers: [Reader], _ quantizer: Quantizer) -> [Item] {
    let quantize = Item(nil, "QuantizeLinear")
    quantize.quantizer = quantizer
    quantize.inputs = [nil]
    let codes = Edge(nil)
    codes.producer = quantize
    quantize.outputs = [codes]
    var made: [Item] = []
    for reader in readers.isEmpty ? [nil] : readers.map(Optional.some) {
      let dequantize = Item(nil, "DequantizeLinear")
      dequantize.quantizer = quantizer
      dequantize.inputs = [nil]
      let real = Edge(nil)
      real.producer = dequantize
      dequantize.outputs = [real]
      setInput(dequantize, 0, codes)
      if let reader { setInput(reader.item, reader.index, real) } else { real.isOutput = true }
      made.append(dequantize)
    }
    setInput(quantize, 0, edge)
    items += [quantize] + made
    return made
  }
}

extension EngineGraph.Item {
  /// A Q or DQ item made by the engine carries parameters of either kind of node; what it is, its operator says.
  var quantizes: Bool { opType == "QuantizeLinear" && quantizer != nil }
  var dequantizes: Bool { opType == "DequantizeLinear" && quantizer != nil }
}
