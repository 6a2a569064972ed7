import ONNXGraph
import ONNXTensor

/// What onnxruntime does to a Q/DQ graph before it looks for integer kernels.
struct OnnxRuntimeRewriting {
  let graph: EngineGraph
  let opset: Int
  /// Kernels for int8 activations exist on Arm alone; elsewhere int8 pairs become uint8 where they can.
  let hasSignedKernels: Bool
  /// Nodes that are gone, with what became of them.
  var removed: [Node: String] = [:]
  /// Add nodes that became the bias of a Gemm, with its MatMul.
  private(set) var biases: [Node: Node] = [:]
  /// Relu and Clip that the Q behind them makes superfluous, with the node before them.
  private(set) var absorbed: [Node: Node] = [:]

  init(_ graph: EngineGraph, opset: Int, hasSignedKernels: Bool) {
    self.graph = graph
    self.opset = opset
    self.hasSignedKernels = hasSignedKernels
  }

  mutating func run() {
    foldConstants()
    removeIdentities()
    foldExtents()
    mergeEqual()
    fusePads()
    fuseBiases()
    propagateBackward()
    propagateForward()
    cancelTransposes()
    quantizeOperands()
    // The saturating Q takes over from Relu and Clip after Q/DQ have been propagated.
    absorbActivations()
    if !hasSignedKernels { makeUnsigned() }
  }

  /// Nodes that move the same elements in the same way are one; each reader of a quantized tensor has a DQ of its own.
  private mutating func mergeEqual() {
    var first: [String: EngineGraph.Item] = [:]
    for item in graph.items {
      guard let node = item.node, node.isStandard, removed[node] == nil,
        OnnxRuntimeSelection.movement.contains(node.opType),
        let output = item.outputs.first ?? nil, !output.isOutput, item.outputs.count == 1,
        let source = item.input(0), !graph.isConstant(source), source.producer?.dequantizes != true
      else { continue }
      let operands = item.inputs.map { edge -> String in
        guard let edge else { return "" }
        if graph.isConstant(edge), let tensor = graph.context.constants.tensor(edge.value), tensor.count <= 64,
          let values = tensor.floats ?? tensor.integers?.map(Float.init)
        {
          return "\(tensor.shape)\(values)"
        }
        return "\(ObjectIdentifier(edge))"
      }
      let key = "\(node.opType) \(operands) \(node.attributes.map { "\($0.name)=\($0.payload)" }.sorted())"
      if let other = first[key], let kept = other.outputs.first ?? nil {
        for reader in output.readers { graph.setInput(reader.item, reader.index, kept) }
        for (index, edge) in item.inputs.enumerated() {
          edge?.readers.removeAll { $0.item === item && $0.index == index }
        }
        graph.drop(item)
        removed[node] = "the same as '\(other.node?.label ?? "")'"
      } else {
        first[key] = item
      }
    }
  }

  /// MatMul and the Add of a vector behind it become a Gemm: for matrices, or where the shape is known.
  private mutating func fuseBiases() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("MatMul"), let output = item.outputs.first ?? nil, !output.isOutput,
        output.readers.count == 1, let sum = output.readers.first?.item, let add = sum.node, add.isStandard("Add"),
        let weight = graph.context.constantShape(item.input(1)?.value), weight.count == 2,
        isMatrix(item.input(0)?.value),
        let bias = sum.inputs.first(where: { $0 !== output }) ?? nil,
        let shape = graph.context.constantShape(bias.value), shape.last == weight[1],
        shape.dropLast().allSatisfy({ $0 == 1 }),
        shape.count <= 2
      else { continue }
      sum.inputs.indices.filter { sum.inputs[$0] === bias }.forEach { index in
        bias.readers.removeAll { $0.item === sum && $0.index == index }
      }
      item.inputs = [item.inputs[0], item.inputs[1], bias]
      bias.readers.append(EngineGraph.Reader(item: item, index: 2))
      item.becomesGemm = true
      if let result = sum.outputs.first ?? nil {
        result.producer = item
        item.outputs = [result]
      }
      graph.drop(sum)
      biases[add] = node
    }
  }

  private func isMatrix(_ value: Value?) -> Bool {
    guard let value else { return false }
    let shape = LintShapes(graph.context).shape(of: value, depth: 0)
    guard let shape else { return false }
    return shape.count == 2 || (shape.count > 2 && shape.allSatisfy { $0 != nil })
  }

  /// int8 becomes uint8 where one Q feeds one DQ that feeds one reader.
  private func makeUnsigned() {
    // A Q of a constant is computed when the model is loaded, before this: its codes stay as they are.
    for item in graph.items where item.quantizes && !item.readsConstant {
      guard let quantizer = item.quantizer, quantizer.type == .int8, quantizer.hasZeroPoint, quantizer.isScalar,
        let codes = item.outputs.first ?? nil, !codes.isOutput, codes.readers.count == 1,
        let reader = codes.readers.first?.item, reader.dequantizes, let theirs = reader.quantizer, theirs.type == .int8,
        theirs.hasZeroPoint, let real = reader.outputs.first ?? nil, real.readers.count + (real.isOutput ? 1 : 0) <= 1
      else { continue }
      item.quantizer?.type = .uint8
      item.quantizer?.zeroPoints = quantizer.zeroPoints?.map { $0 + 128 }
      reader.quantizer?.type = .uint8
      reader.quantizer?.zeroPoints = theirs.zeroPoints?.map { $0 + 128 }
    }
  }

  private mutating func foldConstants() {
    var known = Set<ObjectIdentifier>()
    func isKnown(_ edge: EngineGraph.Edge) -> Bool {
      graph.isConstant(edge) || known.contains(ObjectIdentifier(edge))
    }
    for item in graph.items {
      if item.quantizes, let input = item.input(0) { item.readsConstant = isKnown(input) }
      guard let node = item.node, node.isStandard, item.quantizer == nil, node.subgraphs.isEmpty else { continue }
      if node.opType == "Constant" {
        removed[node] = "a constant"
        if let output = item.outputs.first ?? nil { known.insert(ObjectIdentifier(output)) }
      } else if !item.inputs.isEmpty, !node.opType.hasPrefix("Random"),
        item.inputs.allSatisfy({ $0.map(isKnown) ?? true }) || hasKnownShape(item),
        item.inputs.contains(where: { $0 != nil })
      {
        removed[node] = "computed from constants when the model is loaded"
        graph.detach(item)
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
      guard let node = item.node, node.isStandard("Conv", "ConvTranspose", "Gemm") || item.becomesGemm,
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
        guard axis == (node.opType != "Conv" && node.opType != "ConvTranspose" && node.int("transB") ?? 0 == 0 ? 1 : 0)
        else { continue }
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
