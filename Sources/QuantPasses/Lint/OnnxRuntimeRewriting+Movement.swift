import ONNXGraph
import ONNXTensor

/// Shapes that onnxruntime computes ahead, and transposes that cancel.
extension OnnxRuntimeRewriting {
  /// A Shape whose answer is known without running.
  func hasKnownShape(_ item: EngineGraph.Item) -> Bool {
    guard let node = item.node, node.isStandard("Shape"), let value = item.input(0)?.value else { return false }
    return LintShapes(graph.context).shape(of: value, depth: 0)?.allSatisfy { $0 != nil } ?? false
  }

  /// A Reshape to extents that are read off the tensor itself becomes one to zeros: Shape and what follows it go.
  mutating func foldExtents() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("Reshape"), let root = item.input(0), let wanted = item.input(1),
        let concat = wanted.producer, concat.node?.isStandard("Concat") == true, wanted.readers.count == 1,
        !wanted.isOutput
      else { continue }
      var extents: [Int] = []
      let isFolded = concat.inputs.allSatisfy { edge in
        guard let edge else { return false }
        if let constant = integers(edge) {
          extents += constant
        } else if isExtent(edge, extents.count, of: root) {
          extents.append(0)
        } else if isSingle(edge) {
          extents.append(-1)
        } else {
          return false
        }
        return true
      }
      guard isFolded, extents.count(where: { $0 == -1 }) <= 1 else { continue }
      wanted.readers = []
      removeUnread(concat, "its result is read off the Reshape '\(node.label)' ahead")
    }
  }

  /// The elements of a constant, also behind operators that keep them.
  private func integers(_ edge: EngineGraph.Edge) -> [Int]? {
    var edge = edge
    for _ in 0..<8 {
      if let integers = graph.context.constants.tensor(edge.value)?.integers { return integers }
      guard let producer = edge.producer,
        producer.node?.isStandard("Unsqueeze", "Squeeze", "Reshape", "Identity", "Cast") == true,
        let input = producer.input(0)
      else { return nil }
      edge = input
    }
    return nil
  }

  private func isExtent(_ edge: EngineGraph.Edge, _ index: Int, of root: EngineGraph.Edge) -> Bool {
    guard let unsqueeze = edge.producer, unsqueeze.node?.isStandard("Unsqueeze") == true,
      let gather = unsqueeze.input(0)?.producer, gather.node?.isStandard("Gather") == true,
      let shape = gather.input(0)?.producer, shape.node?.isStandard("Shape") == true, let source = shape.input(0),
      graph.context.constants.tensor(gather.input(1)?.value)?.integers == [index]
    else { return false }
    return origin(source) === origin(root)
  }

  /// One element by its making.
  private func isSingle(_ edge: EngineGraph.Edge) -> Bool {
    guard let unsqueeze = edge.producer, unsqueeze.node?.isStandard("Unsqueeze") == true,
      let source = unsqueeze.input(0)?.producer?.node
    else { return false }
    return source.isStandard("Gather", "Squeeze", "Add", "Sub", "Mul", "Div", "Cast")
  }

  /// The tensor before all operators that keep its shape.
  private func origin(_ edge: EngineGraph.Edge) -> EngineGraph.Edge {
    var edge = edge
    for _ in 0..<64 {
      guard let producer = edge.producer, producer.quantizer != nil || Self.keepsShape(producer, opset),
        let input = producer.input(0)
      else { break }
      edge = input
    }
    return edge
  }

  private mutating func removeUnread(_ item: EngineGraph.Item, _ reason: String) {
    var queue = [item]
    while let item = queue.popLast() {
      guard item.outputs.allSatisfy({ $0.map { $0.readers.isEmpty && !$0.isOutput } ?? true }) else { continue }
      let producers = item.inputs.compactMap { $0?.producer }
      graph.detach(item)
      graph.drop(item)
      if let node = item.node, item.quantizer == nil { removed[node] = reason }
      queue += producers
    }
  }

  private static func keepsShape(_ item: EngineGraph.Item, _ opset: Int) -> Bool {
    guard let node = item.node, node.isStandard else { return false }
    switch node.opType {
    case "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Abs", "Neg", "Erf", "HardSigmoid",
      "Elu", "Identity", "Cast":
      return true
    // Before opset 13 it flattens its input, which a Transpose would change.
    case "Softmax", "LogSoftmax": return opset >= 13
    default: return false
    }
  }

  /// A Transpose moves down through what works on single elements, and meets its inverse.
  mutating func cancelTransposes() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("Transpose"), removed[node] == nil, let order = node.ints("perm")
      else { continue }
      var output = item.outputs.first ?? nil
      for _ in 0..<64 {
        guard let edge = output, !edge.isOutput, edge.readers.count == 1, let next = edge.readers.first?.item else {
          break
        }
        if let other = next.node, other.isStandard("Transpose") {
          guard let back = other.ints("perm"), back.count == order.count,
            back.indices.allSatisfy({ order.indices.contains(back[$0]) && order[back[$0]] == $0 })
          else { break }
          removed[node] = "cancels with '\(other.label)'"
          removed[other] = "cancels with '\(node.label)'"
          graph.bypass(item)
          graph.bypass(next)
          break
        }
        guard next.quantizer?.isScalar ?? Self.keepsShape(next, opset) else { break }
        output = next.outputs.first ?? nil
      }
    }
  }

  /// A Pad with zeros becomes the pads of the convolution behind it.
  mutating func fusePads() {
    for item in graph.items {
      guard let node = item.node, node.isStandard("Pad"), node.string("mode") ?? "constant" == "constant",
        let output = item.outputs.first ?? nil, !output.isOutput, output.readers.count == 1,
        let reader = output.readers.first, reader.index == 0, let next = reader.item.node,
        next.isStandard("Conv"), next.string("auto_pad") ?? "NOTSET" == "NOTSET", item.input(3) == nil,
        let pads = node.ints("pads") ?? graph.context.constants.tensor(item.input(1)?.value)?.integers,
        pads.count >= 6, pads.count.isMultiple(of: 2), pads.allSatisfy({ $0 >= 0 }),
        [0, 1, pads.count / 2, pads.count / 2 + 1].allSatisfy({ pads[$0] == 0 })
      else { continue }
      if let value = item.input(2), graph.context.constants.tensor(value.value)?.floats?.first != 0 { continue }
      if node.float("value") ?? 0 != 0 { continue }
      removed[node] = "it becomes the pads of '\(next.label)'"
      graph.bypass(item)
    }
  }
}
