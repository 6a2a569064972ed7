import ONNXGraph
import ONNXTensor

/// Takes Q/DQ out again: pairs on activations vanish, constants behind DQ come back as float.
///
/// With `original` a constant whose name and shape that model has comes back with that model's elements. Q and DQ that a
/// graph input or output needs, because it is an integer, stay.
package struct StripQDQ: Pass {
  private let originals: OriginalConstants?

  package init(original: Model? = nil) { originals = original.map(OriginalConstants.init) }

  package func run(on model: Model) throws -> [JournalEntry] {
    var journal: [JournalEntry] = []
    let enclosed = model.graph.enclosedGraphs()
    for (place, (graph, outer, _)) in enclosed.enumerated() {
      let context = LintContext(model, graph, outer: outer)
      var patch = GraphPatch(model, graph: graph)
      collect(context, &patch) { originals?.constant($0, place: place, of: enclosed.count) }
      journal += try patch.apply()
    }
    return journal
  }

  private func collect(
    _ context: LintContext, _ patch: inout GraphPatch, original: (String) -> TensorLiteral?
  ) {
    let graph = context.graph
    var forwarded: [Value: Value] = [:]
    func source(_ value: Value) -> Value {
      var value = value
      while let next = forwarded[value] { value = next }
      return value
    }
    var removed = Set<Node>()
    var loose: [Value] = []
    var restored: [String: Value] = [:]
    for node in graph.topologicalOrder() ?? graph.nodes {
      guard let quantizer = context.dequantize(node), let output = node.output(0), let codes = node.input(0) else {
        continue
      }
      let isOutput = context.outputs.contains(output)
      var edits: [GraphPatch.Edit] = []
      let action: String
      if let quantize = codes.producer, context.quantize(quantize) != nil, let real = quantize.input(0) {
        let origin = source(real)
        if isOutput {
          // The name of the output stays: what computes the tensor takes it over.
          guard let producer = origin.producer, let index = origin.outputIndex, !context.outputs.contains(origin),
            !context.captured.contains(origin)
          else { continue }
          edits.append(.remove(node))
          edits.append(.setOutput(producer, index, output))
          for use in origin.uses where use.node !== quantize { edits.append(.setInput(use.node, use.index, output)) }
          forwarded[origin] = output
        } else {
          edits += output.uses.map { .setInput($0.node, $0.index, origin) }
          edits.append(.remove(node))
          forwarded[output] = origin
        }
        removed.insert(node)
        if !removed.contains(quantize), !context.outputs.contains(codes),
          codes.consumers.allSatisfy({ removed.contains($0) })
        {
          edits.append(.remove(quantize))
          removed.insert(quantize)
        }
        action = "pair removed"
        loose += quantize.inputs.dropFirst().compactMap { $0 }
      } else if !isOutput, let tensor = Self.dequantized(quantizer, context) {
        let (value, literal) = constant(codes, output, tensor, context, original, &restored)
        edits += output.uses.map { .setInput($0.node, $0.index, value) }
        edits.append(.remove(node))
        if let literal { edits.append(.addInitializer(value, literal)) }
        removed.insert(node)
        action = "dequantized"
        loose.append(codes)
      } else {
        continue
      }
      loose += node.inputs.dropFirst().compactMap { $0 }
      patch.add(
        JournalEntry(
          rule: "STRIP", reason: "Q/DQ are taken out", subject: .tensor(output.name), action: action), edits)
    }
    var dropped = Set<Value>()
    for value in loose where dropped.insert(value).inserted {
      guard graph.initializer(for: value) != nil, value.consumers.allSatisfy({ removed.contains($0) }),
        !context.outputs.contains(value), !context.captured.contains(value)
      else { continue }
      if graph.isInput(value) { patch.append(.removeGraphInput(value)) }
      patch.append(.removeInitializer(value))
    }
  }

  /// The float constant, under the name that it has in the original where one fits: by the names that quantizers derive,
  /// which may have a number behind them. No literal: the constant is there already.
  private func constant(
    _ codes: Value, _ output: Value, _ tensor: Tensor, _ context: LintContext, _ original: (String) -> TensorLiteral?,
    _ restored: inout [String: Value]
  ) -> (Value, TensorLiteral?) {
    let derived = [output.name, codes.name].flatMap { name -> [String] in
      let digits = name.reversed().prefix { $0.isNumber }.count
      let shorter = name.dropLast(digits)
      return digits > 0 && shorter.hasSuffix("_") ? [name, String(shorter.dropLast())] : [name]
    }
    var names = derived
    for suffix in [
      "_quantized", "_DequantizeLinear_Output", "_dequantized", "_QuantizeLinear_Output", "_int8", "_DequantizeLinear",
    ] {
      for name in derived where name.hasSuffix(suffix) {
        names.append(String(name.dropLast(suffix.count)))
      }
    }
    for name in names.reversed() {
      guard let literal = original(name), literal.dims == tensor.shape.map(Int64.init),
        // Codes of a model that was quantized before are no constant that a DQ could give way to.
        let type = literal.elementType, type.isFloatingPoint
      else { continue }
      if let known = restored[name] { return (known, nil) }
      if let present = context.graph.values.first(where: { $0.name == name }), present !== codes,
        context.constants.elementType(present)?.isFloatingPoint == true
      {
        return (present, nil)
      }
      guard name == output.name || name == codes.name || !context.graph.values.contains(where: { $0.name == name })
      else { continue }
      let value = Value(name, type: .tensor(type, tensor.shape))
      restored[name] = value
      return (value, literal)
    }
    let taken = Set(context.graph.values.map(\.name))
    let name = names.last { !taken.contains($0) && restored[$0] == nil } ?? output.name
    let value = Value(name, type: .tensor(.float32, tensor.shape))
    restored[name] = value
    return (value, TensorLiteral(name: name, tensor))
  }

  /// The reals of a constant behind DQ; nil where it is none, or has blocks.
  static func dequantized(_ quantizer: Quantizer, _ context: LintContext) -> Tensor? {
    guard !quantizer.isQuantize, let codes = context.constants.tensor(quantizer.node.input(0)),
      let scales = quantizer.scales, let points = quantizer.zeroPoints, scales.count == points.count,
      (quantizer.scaleShape?.count ?? 2) <= 1, let integers = codes.integers
    else { return nil }
    if scales.count == 1 {
      return Tensor(integers.map { Float($0 - points[0]) * scales[0] }, shape: codes.shape)
    }
    let axis = quantizer.axis < 0 ? quantizer.axis + codes.rank : quantizer.axis
    guard codes.shape.indices.contains(axis), codes.shape[axis] == scales.count else { return nil }
    let inner = codes.shape[(axis + 1)...].reduce(1, *)
    guard inner > 0 else { return nil }
    return Tensor(
      integers.enumerated().map { index, code in
        let channel = index / inner % scales.count
        return Float(code - points[channel]) * scales[channel]
      }, shape: codes.shape)
  }
}

/// The constants of a model by name, initializers and Constant nodes, nested graphs included.
private struct OriginalConstants {
  private let graphs: [[String: TensorLiteral]]
  private let outer: [[Int]]

  init(_ model: Model) {
    let enclosed = model.graph.enclosedGraphs()
    graphs = enclosed.map { Self.literals($0.graph) }
    outer = enclosed.map { item in item.outer.compactMap { graph in enclosed.firstIndex { $0.graph === graph } } }
  }

  private static func literals(_ graph: Graph) -> [String: TensorLiteral] {
    var result: [String: TensorLiteral] = [:]
    for item in graph.initializers { result[item.value.name] = item.literal }
    let constants = Constants(graph: graph)
    for node in graph.nodes where node.isStandard("Constant") {
      guard let value = node.output(0) else { continue }
      if case .tensor(var literal) = node.attribute("value") {
        literal.name = value.name
        result[value.name] = literal
      } else if let tensor = constants.tensor(value) {
        result[value.name] = TensorLiteral(name: value.name, tensor)
      }
    }
    return result
  }

  /// The constant that `name` means in the graph at `place` of `count` graphs, in the order of the file. Where the two
  /// models do not have as many graphs, it must be the only one of that name.
  func constant(_ name: String, place: Int, of count: Int) -> TensorLiteral? {
    guard count == graphs.count else {
      let found = graphs.compactMap { $0[name] }
      return found.count == 1 ? found[0] : nil
    }
    for graph in [place] + outer[place] { if let literal = graphs[graph][name] { return literal } }
    return nil
  }
}
