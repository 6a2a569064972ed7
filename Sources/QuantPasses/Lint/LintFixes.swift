import ONNXGraph
import ONNXTensor

/// Mends what can be mended without changing a value that the model computes.
package struct LintFixes: Pass {
  let target: String

  package init(target: String) { self.target = target }

  package func run(on model: Model) throws -> [JournalEntry] {
    var journal: [JournalEntry] = []
    for (graph, outer, _) in model.graph.enclosedGraphs() {
      // A fix may make room for the next one: a removed DQ leaves an unread Q.
      for _ in 0..<100 {
        var patch = GraphPatch(model, graph: graph)
        collect(LintContext(model, graph, outer: outer), &patch)
        if patch.isEmpty { break }
        journal += try patch.apply()
      }
    }
    return journal
  }

  private func collect(_ context: LintContext, _ patch: inout GraphPatch) {
    removeUnread(context, &patch)
    if !patch.isEmpty { return }
    removeSecondPairs(context, &patch)
    if !patch.isEmpty { return }
    if target == "tensorrt" {
      centerUnsigned(context, &patch)
      floatBiases(context, &patch)
    } else {
      writeZeroPoints(context, &patch)
    }
  }

  private func entry(_ rule: LintRule, _ node: Node, _ action: String) -> JournalEntry {
    JournalEntry(rule: rule.id, reason: rule.sentence, subject: .node(node.label), action: action)
  }

  private func removeUnread(_ context: LintContext, _ patch: inout GraphPatch) {
    for node in context.graph.nodes where context.quantizers[node] != nil {
      guard let output = node.output(0), output.uses.isEmpty, !context.outputs.contains(output),
        !context.captured.contains(output)
      else { continue }
      patch.add(entry(.unread, node, "removed"), .remove(node))
    }
  }

  private func removeSecondPairs(_ context: LintContext, _ patch: inout GraphPatch) {
    for node in context.graph.nodes {
      guard let quantizer = context.quantize(node), let real = node.input(0),
        let before = context.dequantize(real.producer), before.hasParameters(of: quantizer), let codes = node.output(0),
        !context.outputs.contains(codes), !context.captured.contains(codes)
      else { continue }
      let readers = codes.consumers
      guard
        readers.allSatisfy({ reader in
          guard let next = context.dequantize(reader), let output = reader.output(0) else { return false }
          return next.hasParameters(of: quantizer) && !context.outputs.contains(output)
            && !context.captured.contains(output)
        })
      else { continue }
      var edits: [GraphPatch.Edit] = []
      for reader in readers {
        for use in reader.output(0)?.uses ?? [] { edits.append(.setInput(use.node, use.index, real)) }
        edits.append(.remove(reader))
      }
      patch.add(entry(.doublePair, node, "removed with its DQ"), edits + [.remove(node)])
      return
    }
  }

  private func writeZeroPoints(_ context: LintContext, _ patch: inout GraphPatch) {
    for node in context.graph.nodes {
      guard let quantizer = context.quantizers[node], !quantizer.hasZeroPoint, let scales = quantizer.scales,
        let shape = quantizer.scaleShape, quantizer.type.bitWidth == 8, !quantizer.type.isFloatingPoint
      else { continue }
      let tensor = Tensor([UInt8](repeating: 0, count: scales.count), shape: shape, as: quantizer.type)
      let value = self.value(context, (node.output(0)?.name ?? "") + "_zero_point", tensor)
      patch.add(
        entry(.implicitZeroPoint, node, "given the \(quantizer.type.name) zero point 0"),
        .addInitializer(value, TensorLiteral(name: value.name, tensor)),
        .setInputs(node, [node.input(0), node.input(1), value]))
    }
  }

  /// uint8 codes around 128 are int8 codes around 0: all Q and DQ that meet at one tensor of codes change together.
  private func centerUnsigned(_ context: LintContext, _ patch: inout GraphPatch) {
    var done = Set<Node>()
    for node in context.graph.nodes where !done.contains(node) {
      guard let quantizer = context.quantizers[node], isCentered(quantizer),
        let codes = quantizer.isQuantize ? node.output(0) : node.input(0), !context.outputs.contains(codes),
        !context.captured.contains(codes), !context.graph.isInput(codes)
      else { continue }
      var members = codes.consumers
      if let producer = codes.producer { members.append(producer) }
      guard members.allSatisfy({ context.quantizers[$0].map(isCentered) ?? false }) else { continue }
      let stored = context.graph.initializer(for: codes)
      guard codes.producer != nil || stored != nil else { continue }
      var edits: [GraphPatch.Edit] = []
      if codes.producer == nil {
        guard let tensor = context.constants.tensor(codes), tensor.elementType == .uint8 else { continue }
        let bytes = tensor.array(UInt8.self).map { $0 ^ 0x80 }
        edits.append(
          .replaceInitializer(
            codes, TensorLiteral(name: codes.name, Tensor(bytes, shape: tensor.shape, as: .int8))))
      }
      for member in members {
        guard let theirs = context.quantizers[member], let shape = theirs.scaleShape, let count = theirs.scales?.count
        else { continue }
        done.insert(member)
        let tensor = Tensor([UInt8](repeating: 0, count: count), shape: shape, as: .int8)
        let value = self.value(context, (member.output(0)?.name ?? "") + "_zero_point_int8", tensor)
        edits.append(.addInitializer(value, TensorLiteral(name: value.name, tensor)))
        edits.append(.setInputs(member, [member.input(0), member.input(1), value]))
      }
      patch.add(entry(.trtType, node, "uint8 with zero point 128 made int8 with zero point 0"), edits)
    }
  }

  private func isCentered(_ quantizer: Quantizer) -> Bool {
    quantizer.type == .uint8 && quantizer.hasZeroPoint && quantizer.hasZeroPoint(128) && quantizer.scales != nil
      && quantizer.node.isStandard && quantizer.node.int("output_dtype") == nil
  }

  private func floatBiases(_ context: LintContext, _ patch: inout GraphPatch) {
    for node in context.graph.nodes {
      guard let quantizer = context.dequantize(node), quantizer.type == .int32, let output = node.output(0),
        !context.outputs.contains(output), let tensor = StripQDQ.dequantized(quantizer, context)
      else { continue }
      let value = Value(output.name, type: .tensor(.float32, tensor.shape))
      patch.add(
        entry(.trtBias, node, "the bias stored as float"),
        output.uses.map { .setInput($0.node, $0.index, value) }
          + [.remove(node), .addInitializer(value, TensorLiteral(name: value.name, tensor))])
    }
  }

  private func value(_ context: LintContext, _ name: String, _ tensor: Tensor) -> Value {
    let taken = Set(context.graph.values.map(\.name))
    var unique = name
    var number = 1
    while taken.contains(unique) {
      unique = "\(name)_\(number)"
      number += 1
    }
    return Value(unique, type: .tensor(tensor.elementType, tensor.shape))
  }
}
