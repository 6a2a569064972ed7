/// Gives names that collide with none in a model: `X`, else `X_1`, `X_2`, …
package struct NameAuthority {
  private var taken: Set<String>

  package init(model: Model) {
    taken = []
    let graphs = model.graph.allGraphs + model.functions.flatMap { $0.body.allGraphs }
    for graph in graphs {
      for value in graph.values { taken.insert(value.name) }
      for node in graph.nodes { if let name = node.name { taken.insert(name) } }
    }
  }

  /// A free name like `wanted`, reserved from now on.
  package mutating func unique(_ wanted: String) -> String {
    var name = wanted
    var suffix = 0
    while !taken.insert(name).inserted {
      suffix += 1
      name = "\(wanted)_\(suffix)"
    }
    return name
  }
}
