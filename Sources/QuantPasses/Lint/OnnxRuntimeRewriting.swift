import ONNXGraph
import ONNXTensor

/// What onnxruntime does to a Q/DQ graph before it looks for integer kernels.
struct OnnxRuntimeRewriting {
  let graph: EngineGraph
  let opset: Int
  /// Nodes that are gone, with what became of them.
  private(set) var removed: [Node: String] = [:]
  /// Relu and Clip that the Q behind them makes superfluous, with the node before them.
  private(set) var absorbed: [Node: Node] = [:]

  init(_ graph: EngineGraph, opset: Int) {
    self.graph = graph
    self.opset = opset
  }

  mutating func run() {
    foldConstants()
    removeIdentities()
    absorbActivations()
    propagateBackward()
    propagateForward()
    quantizeOperands()
  }

  private mutating func foldConstants() {
    var known = Set<ObjectIdentifier>()
    for item in graph.items {
      guard let node = item.node, node.isStandard, item.quantizer == nil, node.subgraphs.isEmpty else { continue }
      if node.opType == "Constant" {
        removed[node] = "a constant"
        if let output = item.outputs.first ?? nil { known.insert(ObjectIdentifier(output)) }
      } else if !item.inputs.isEmpty, !node.opType.hasPrefix("Random"),
        item.inputs.allSatisfy({ edge in
          edge.map { graph.isConstant($0) || known.contains(ObjectIdentifier($0)) } ?? true
        }), item.inputs.contains(where: { $0 != nil })
      {
        removed[node] = "computed from constants when the model is loaded"
        for output in item.outputs { output.map { _ = known.insert(ObjectIdentifier($0)) } }
      }
    }
  }

  private mutating func removeIdentities() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("Identity", "Dropout"), let output = item.outputs.first ?? nil,
        !output.isOutput, item.outputs.dropFirst().allSatisfy({ $0?.readers.isEmpty ?? true })
      else { continue }
      removed[node] = "passes its input through and is taken out"
      graph.bypass(item)
    }
  }

  private mutating func absorbActivations() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("Relu", "Clip"), let output = item.outputs.first ?? nil,
        !output.isOutput, output.readers.count == 1, let reader = output.readers.first, reader.item.quantizes,
        reader.index == 0, let quantizer = reader.item.quantizer,
        Self.isRedundant(node, before: quantizer, graph.context.constants) == nil
      else { continue }
      if let producer = item.input(0)?.producer?.node { absorbed[node] = producer }
      removed[node] = "the Q after it does the same by saturation"
      graph.bypass(item)
    }
  }

  /// nil when saturation by the Q does what the activation does; else why not.
  static func isRedundant(_ node: Node, before quantizer: Quantizer, _ constants: Constants) -> String? {
    guard quantizer.isScalar, let scale = quantizer.scales?.first, let zeroPoint = quantizer.zeroPoints?.first,
      let lowest = quantizer.lowest, let highest = quantizer.highest
    else { return "the parameters of the Q behind it are no constant scalars" }
    if node.opType == "Relu" {
      return zeroPoint == lowest ? nil : "the zero point is \(zeroPoint), not \(lowest)"
    }
    let bounds = clipBounds(node, constants)
    guard let bounds else { return "its bounds are no constants" }
    let low = Float(lowest - zeroPoint) * scale
    let high = Float(highest - zeroPoint) * scale
    if low < bounds.low || high > bounds.high {
      return "the quantized range \(low) to \(high) goes beyond its own, \(bounds.low) to \(bounds.high)"
    }
    return nil
  }

  static func clipBounds(_ node: Node, _ constants: Constants) -> (low: Float, high: Float)? {
    var bounds = (low: -Float.greatestFiniteMagnitude, high: Float.greatestFiniteMagnitude)
    if let low = node.float("min") { bounds.low = low }
    if let high = node.float("max") { bounds.high = high }
    if let value = node.input(1) {
      guard let low = constants.tensor(value)?.floats?.first else { return nil }
      bounds.low = low
    }
    if let value = node.input(2) {
      guard let high = constants.tensor(value)?.floats?.first else { return nil }
      bounds.high = high
    }
    return bounds
  }

  private func canPropagate(_ item: EngineGraph.Item) -> Bool {
    guard let node = item.node, node.isStandard else { return false }
    switch node.opType {
    case "MaxPool": return opset >= 12
    case "Reshape": return opset >= 5 && opset < 21
    case "Transpose", "Squeeze", "Unsqueeze": return opset < 21
    case "Slice": return true
    default: return false
    }
  }

  private func propagateBackward() {
    for item in graph.items where item.quantizes {
      guard let quantizer = item.quantizer, quantizer.isScalar, quantizer.isConstant, let before = item.input(0),
        !before.isOutput, before.readers.count == 1
      else { continue }
      var source = before.producer
      while let current = source, canPropagate(current) {
        guard let edge = current.input(0) else { break }
        if let producer = edge.producer {
          guard !edge.isOutput, edge.readers.count == 1, !producer.dequantizes else { break }
        }
        graph.insertPair(edge, [EngineGraph.Reader(item: current, index: 0)], quantizer)
        source = edge.producer
      }
    }
  }

  private func propagateForward() {
    for item in graph.items where item.dequantizes {
      guard let quantizer = item.quantizer, quantizer.isScalar, quantizer.isConstant,
        let output = item.outputs.first ?? nil, !output.isOutput
      else { continue }
      var queue = output.readers.map(\.item)
      while let reader = queue.popLast() {
        guard canPropagate(reader), let after = reader.outputs.first ?? nil else { continue }
        if after.readers.isEmpty ? !after.isOutput : after.isOutput { continue }
        let targets = after.readers.filter { !$0.item.quantizes }
        if after.readers.isEmpty {
          graph.insertPair(after, [], quantizer)
          after.isOutput = false
          continue
        }
        guard !targets.isEmpty else { continue }
        graph.insertPair(after, targets, quantizer)
        queue += targets.map(\.item)
      }
    }
  }

  /// Conv and Gemm between Q/DQ: a float weight or bias that is a constant is quantized when the model is loaded.
  private func quantizeOperands() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("Conv", "ConvTranspose", "Gemm"),
        let source = item.input(0)?.producer,
        source.dequantizes, source.quantizer?.scaleShape?.reduce(1, *) == 1, leadsToQuantize(item)
      else { continue }
      let weight = item.input(1)?.producer.flatMap { $0.dequantizes ? $0.quantizer : nil }
      if weight == nil, !graph.isConstant(item.input(1)) { continue }
      let bias = item.input(2)
      var biasCount: Int?
      if let bias {
        guard graph.isConstant(bias), let shape = graph.context.constants.shape(bias.value), shape.count == 1 else {
          continue
        }
        biasCount = shape[0]
      }
      if weight != nil, biasCount == nil { continue }
      if let weight, !weight.isScalar {
        guard weight.scaleShape?.count == 1, weight.blockSize == 0, weight.scales?.count == biasCount else { continue }
        let rank = graph.context.constantShape(weight.node.input(0))?.count ?? 2
        let axis = weight.axis < 0 ? weight.axis + rank : weight.axis
        guard axis == (node.opType == "Gemm" && node.int("transB") ?? 0 == 0 ? 1 : 0) else { continue }
      }
      item.quantizesOperands = true
    }
  }

  private func leadsToQuantize(_ item: EngineGraph.Item) -> Bool {
    var current = item
    for _ in 0..<64 {
      guard current.outputs.count == 1, let output = current.outputs[0], output.readers.count == 1 else { return false }
      let next = output.readers[0].item
      if next.quantizes { return true }
      guard next.opType == "Relu" || next.opType == "Clip" else { return false }
      current = next
    }
    return false
  }
}
