/// Checks the rules that every pass relies on and must leave intact.
///
/// Each rule is one function; a violation names its rule. Shapes and types are no rule here: an unknown one is ordinary.
package struct GraphVerifier {
  package enum Rule: String, Sendable, CaseIterable {
    case singleProducer, uniqueNames, topologicalOrder, noDanglingNames, outputsExist, useDef, uniqueAttributes
    case namedOperators, opsetImports
  }

  package struct Violation: Sendable, Hashable, CustomStringConvertible {
    package let rule: Rule
    /// The graph, the nesting spelled with slashes.
    package let graph: String
    /// The node, value or domain at fault.
    package let subject: String
    package let message: String

    package var description: String { "\(rule.rawValue): \(message) (graph '\(graph)')" }
  }

  /// A graph with what it can see around it.
  struct Scope {
    let graph: Graph
    let path: String
    /// Values defined in the graphs around.
    let outer: Set<Value>
    let outerNames: Set<String>
    /// Domains that the model or the function imports.
    let imports: Set<String>
  }

  package static func violations(in model: Model) -> [Violation] {
    var result: [Violation] = []
    let domains = Set(model.opsetImports.map { canonical($0.domain) })
    visit(scope(of: model.graph, path: model.graph.name ?? "", imports: domains), &result)
    for function in model.functions {
      let imports = Set(function.opsetImports.map { canonical($0.domain) })
      visit(scope(of: function.body, path: "function \(function.name ?? "")", imports: imports), &result)
    }
    return result
  }

  /// Throws the first violation.
  package static func verify(_ model: Model) throws(GraphError) {
    if let first = violations(in: model).first {
      throw GraphError(
        .badStructure, first.description, advice: "export the model again, or report this if onnxq wrote it")
    }
  }

  private static func canonical(_ domain: String?) -> String {
    domain == nil || domain == "ai.onnx" ? "" : domain ?? ""
  }

  private static func scope(of graph: Graph, path: String, imports: Set<String>) -> Scope {
    Scope(graph: graph, path: path, outer: [], outerNames: [], imports: imports)
  }

  private static func visit(_ scope: Scope, _ result: inout [Violation]) {
    for check in [
      singleProducer, uniqueNames, topologicalOrder, noDanglingNames, outputsExist, useDef, uniqueAttributes,
      namedOperators, opsetImports,
    ] {
      result += check(scope)
    }
    let nested = scope.graph.nodes.filter { !$0.subgraphs.isEmpty }
    guard !nested.isEmpty else { return }
    let visible = definedValues(of: scope.graph)
    let outer = scope.outer.union(visible)
    let names = scope.outerNames.union(visible.map(\.name)).union(sparseNames(of: scope.graph))
    for node in nested {
      for (index, graph) in node.subgraphs.enumerated() {
        let path = "\(scope.path)/\(label(of: node)).\(index)"
        visit(Scope(graph: graph, path: path, outer: outer, outerNames: names, imports: scope.imports), &result)
      }
    }
  }

  // MARK: Rules

  /// A value is defined once: as a graph input (perhaps with an initializer), an initializer or one output of one node.
  static func singleProducer(_ scope: Scope) -> [Violation] {
    var owner: [Value: String] = [:]
    var result: [Violation] = []
    func define(_ value: Value, _ by: String) {
      if let other = owner.updateValue(by, forKey: value) {
        result.append(
          scope.violation(.singleProducer, value.name, "'\(value.name)' is defined by \(other) and by \(by)"))
      }
    }
    for port in scope.graph.inputs { define(port.value, "the graph's inputs") }
    var seen = Set<Value>()
    for item in scope.graph.initializers where !seen.insert(item.value).inserted {
      result.append(scope.violation(.singleProducer, item.value.name, "'\(item.value.name)' has two initializers"))
    }
    for item in scope.graph.initializers where owner[item.value] == nil { define(item.value, "an initializer") }
    for node in scope.graph.nodes {
      for output in node.outputs { if let output { define(output, "node '\(label(of: node))'") } }
    }
    return result
  }

  /// No two values of a graph have one name, and none hides a name of the graphs around it.
  static func uniqueNames(_ scope: Scope) -> [Violation] {
    var values: [String: Value] = [:]
    var result: [Violation] = []
    for value in definedValues(of: scope.graph).sorted(by: { $0.name < $1.name }) {
      if let other = values.updateValue(value, forKey: value.name), other !== value {
        result.append(scope.violation(.uniqueNames, value.name, "two values are named '\(value.name)'"))
      }
      if value.name.isEmpty {
        result.append(scope.violation(.uniqueNames, "", "a value has the empty name, which stands for an absent one"))
      }
      if scope.outerNames.contains(value.name) {
        result.append(
          scope.violation(.uniqueNames, value.name, "'\(value.name)' hides a value of a graph around this one"))
      }
    }
    return result
  }

  /// Producers stand before consumers.
  static func topologicalOrder(_ scope: Scope) -> [Violation] {
    var position: [Node: Int] = [:]
    for (index, node) in scope.graph.nodes.enumerated() { position[node] = index }
    var result: [Violation] = []
    for (index, node) in scope.graph.nodes.enumerated() {
      for value in node.inputs.compactMap({ $0 }) + node.capturedValues {
        guard let producer = value.producer, let before = position[producer], before >= index else { continue }
        result.append(
          scope.violation(
            .topologicalOrder, label(of: node),
            "node '\(label(of: node))' reads '\(value.name)' before node '\(label(of: producer))' produces it"))
      }
    }
    return result
  }

  /// What nodes read is defined here or in a graph around.
  static func noDanglingNames(_ scope: Scope) -> [Violation] {
    let defined = definedValues(of: scope.graph)
    let sparse = sparseNames(of: scope.graph)
    var result: [Violation] = []
    for node in scope.graph.nodes {
      for value in node.inputs {
        guard let value, !defined.contains(value), !scope.outer.contains(value) else { continue }
        if sparse.contains(value.name) || scope.outerNames.contains(value.name) { continue }
        result.append(
          scope.violation(
            .noDanglingNames, value.name, "node '\(label(of: node))' reads '\(value.name)', which nothing defines"))
      }
    }
    return result
  }

  /// What the graph returns is defined here or in a graph around.
  static func outputsExist(_ scope: Scope) -> [Violation] {
    let defined = definedValues(of: scope.graph)
    let sparse = sparseNames(of: scope.graph)
    return scope.graph.outputs.map(\.value).filter {
      !defined.contains($0) && !scope.outer.contains($0) && !sparse.contains($0.name)
        && !scope.outerNames.contains($0.name)
    }.map { scope.violation(.outputsExist, $0.name, "the graph returns '\($0.name)', which nothing defines") }
  }

  /// Uses and producers that values record are those that nodes have.
  static func useDef(_ scope: Scope) -> [Violation] {
    var result: [Violation] = []
    var reads: [Value: Int] = [:]
    for graph in scope.graph.allGraphs {
      for node in graph.nodes { for value in node.inputs { if let value { reads[value, default: 0] += 1 } } }
    }
    for value in scope.graph.values {
      let stale = value.uses.contains { $0.node.input($0.index) !== value }
      let isLocal = !scope.outer.contains(value)
      if stale || (isLocal && value.uses.count != reads[value, default: 0]) {
        result.append(
          scope.violation(
            .useDef, value.name,
            "'\(value.name)' records \(value.uses.count) uses, nodes have \(reads[value, default: 0])"))
      }
    }
    for node in scope.graph.nodes {
      for value in node.outputs where value != nil && value?.producer !== node {
        let name = value?.name ?? ""
        result.append(
          scope.violation(.useDef, name, "'\(name)' does not record node '\(label(of: node))' as its producer"))
      }
    }
    return result
  }

  /// No attribute twice on one node.
  static func uniqueAttributes(_ scope: Scope) -> [Violation] {
    scope.graph.nodes.flatMap { node -> [Violation] in
      guard node.attributes.count > 1 else { return [] }
      var seen = Set<String>()
      return node.attributes.filter { !seen.insert($0.name).inserted }.map {
        scope.violation(
          .uniqueAttributes, label(of: node), "node '\(label(of: node))' has attribute '\($0.name)' twice")
      }
    }
  }

  /// Every node says which operator it is.
  static func namedOperators(_ scope: Scope) -> [Violation] {
    scope.graph.nodes.filter(\.opType.isEmpty).map {
      scope.violation(.namedOperators, label(of: $0), "node '\(label(of: $0))' has no operator type")
    }
  }

  /// The domain of every node is imported.
  static func opsetImports(_ scope: Scope) -> [Violation] {
    var reported = Set<String>()
    return scope.graph.nodes.compactMap { node in
      let domain = node.canonicalDomain
      guard !scope.imports.contains(domain), reported.insert(domain).inserted else { return nil }
      return scope.violation(
        .opsetImports, domain, "node '\(label(of: node))' is of domain '\(domain)', which is not imported")
    }
  }

  // MARK: Support

  private static func definedValues(of graph: Graph) -> Set<Value> {
    var result = Set(graph.inputs.map(\.value))
    for item in graph.initializers { result.insert(item.value) }
    for node in graph.nodes { for output in node.outputs { if let output { result.insert(output) } } }
    return result
  }

  private static func sparseNames(of graph: Graph) -> Set<String> {
    Set(graph.sparseInitializers.compactMap { $0.values?.name })
  }

  private static func label(of node: Node) -> String {
    if let name = node.name, !name.isEmpty { return name }
    return "\(node.opType) → \(node.outputs.compactMap { $0?.name }.first ?? "")"
  }
}

extension GraphVerifier.Scope {
  func violation(_ rule: GraphVerifier.Rule, _ subject: String, _ message: String) -> GraphVerifier.Violation {
    GraphVerifier.Violation(rule: rule, graph: path, subject: subject, message: message)
  }
}
