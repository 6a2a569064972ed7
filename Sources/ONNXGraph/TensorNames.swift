extension Model {
  /// One name per value of a model, nested graphs and functions included: what statistics call it.
  ///
  /// Branches may use a name that another one uses too; then the later ones, in the order of the file, get `NAME@2`, ….
  package var tensorNames: [Value: String] {
    var result: [Value: String] = [:]
    var uses: [String: Int] = [:]
    for graph in graph.allGraphs + functions.flatMap({ $0.body.allGraphs }) {
      for value in graph.values where result[value] == nil && !value.name.isEmpty {
        let number = uses[value.name, default: 0] + 1
        uses[value.name] = number
        result[value] = number == 1 ? value.name : "\(value.name)@\(number)"
      }
    }
    return result
  }
}

extension Graph {
  /// A graph, the graphs around it from the innermost outwards, and the nodes that lead to it, each with a slash behind.
  package typealias Enclosed = (graph: Graph, outer: [Graph], path: String)

  /// This graph and all that are nested in it, outermost first, as `allGraphs` has them.
  package func enclosedGraphs() -> [Enclosed] {
    func visit(_ graph: Graph, _ outer: [Graph], _ path: String) -> [Enclosed] {
      [(graph, outer, path)]
        + graph.nodes.flatMap { node in
          node.subgraphs.flatMap { visit($0, [graph] + outer, "\(path)\(node.label)/") }
        }
    }
    return visit(self, [], "")
  }
}
