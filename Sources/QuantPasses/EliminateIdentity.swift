import ONNXGraph

/// Takes out Identity, and Dropout outside training: readers of the output read the input.
///
/// Left in place where the output is an output of the graph, or the mask of a Dropout is read.
package struct EliminateIdentity: Pass {
  package init() {}

  package func run(on model: Model) throws -> [JournalEntry] {
    let graph = model.graph
    let constants = Constants(graph: graph)
    var patch = GraphPatch(model)
    var forwarded: [Value: Value] = [:]
    for node in graph.nodes {
      guard let input = node.input(0), let output = node.output(0), !graph.isOutput(output) else { continue }
      guard isIdentity(node, opset: model.opset() ?? 0, constants), !returnedByNestedGraph(output, of: graph) else {
        continue
      }
      var source = input
      while let next = forwarded[source] { source = next }
      forwarded[output] = source
      patch.add(
        JournalEntry(
          rule: "F02", reason: "\(node.opType) passes its input through", subject: .node(node.label), action: "removed"),
        output.uses.map { .setInput($0.node, $0.index, source) } + [.remove(node)])
    }
    return try patch.apply()
  }

  private func isIdentity(_ node: Node, opset: Int, _ constants: Constants) -> Bool {
    if node.isStandard("Identity") { return true }
    guard node.isStandard("Dropout"), opset >= 7, node.output(1).map(\.uses.isEmpty) ?? true else { return false }
    guard let mode = node.input(2) else { return true }
    return constants.tensor(mode)?.integers == [0]
  }

  /// Outputs of nested graphs are no uses, so such a value must keep its producer.
  private func returnedByNestedGraph(_ value: Value, of graph: Graph) -> Bool {
    graph.nodes.contains { node in
      node.subgraphs.contains { $0.allGraphs.contains { $0.isOutput(value) } }
    }
  }
}
