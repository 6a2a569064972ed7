import ONNXGraph

/// Names nodes and tensors for `--include` and `--exclude`.
///
/// `op:REGEX` is matched against operator types, `node:REGEX` against node names, `tensor:REGEX` against tensor names, a
/// bare REGEX against all three. The whole name must match. `scope:NAME` names the nodes called NAME/… or NAME.…,
/// `between:A->B` the nodes on the ways from tensor A to tensor B. A node without a name is called `Type#index`, counted among
/// the nodes of its type in the order of the file, nested graphs after what is around them.
package struct Selector: Sendable {
  package enum Scope: Sendable { case any, operators, nodes, tensors, names, between }

  package let text: String
  package let scope: Scope
  private let pattern: String

  package init(_ text: String) throws {
    self.text = text
    var pattern = text
    var scope = Scope.any
    for (prefix, named) in [
      ("op:", Scope.operators), ("node:", .nodes), ("tensor:", .tensors), ("scope:", .names), ("between:", .between),
    ]
    where text.hasPrefix(prefix) {
      pattern = String(text.dropFirst(prefix.count))
      scope = named
    }
    self.pattern = pattern
    self.scope = scope
    if scope == .between, Self.ends(pattern) == nil {
      throw PassError(
        .badOption, "'\(text)' does not name two tensors", advice: "write between:A->B with their exact names")
    }
    guard scope != .names, scope != .between else { return }
    do { _ = try Regex(pattern) } catch {
      throw PassError(
        .badOption, "'\(pattern)' is not a regular expression", advice: "escape special characters with \\")
    }
  }

  /// What the selectors name in `graph` and the graphs nested in it; throws for one that names nothing.
  static func resolve(_ selectors: [Selector], in graph: Graph) throws -> (nodes: Set<Node>, tensors: Set<Value>) {
    var nodes = Set<Node>()
    var tensors = Set<Value>()
    guard !selectors.isEmpty else { return (nodes, tensors) }
    let graphs = graph.allGraphs
    let members = graphs.flatMap(\.nodes)
    let names = nodeNames(members)
    var seen = Set<Value>()
    let values = graphs.flatMap(\.values).filter { seen.insert($0).inserted }
    for selector in selectors {
      var found = false
      if selector.scope == .between {
        nodes.formUnion(try selector.between(values))
        continue
      }
      if selector.scope == .names {
        for (node, name) in zip(members, names)
        where name.hasPrefix("\(selector.pattern)/") || name.hasPrefix("\(selector.pattern).")
          || name == selector.pattern
        {
          nodes.insert(node)
          found = true
        }
        guard found else { throw selector.unmatched(names, members, values) }
        continue
      }
      let regex = try Regex(selector.pattern)
      func matches(_ name: String) -> Bool { (try? regex.wholeMatch(in: name)) != nil }
      for (node, name) in zip(members, names) {
        let isHit =
          (selector.scope == .any || selector.scope == .operators) && matches(node.opType)
          || (selector.scope == .any || selector.scope == .nodes) && matches(name)
        if isHit {
          nodes.insert(node)
          found = true
        }
      }
      if selector.scope == .any || selector.scope == .tensors {
        for value in values where matches(value.name) {
          tensors.insert(value)
          found = true
        }
      }
      guard found else { throw selector.unmatched(names, members, values) }
    }
    return (nodes, tensors)
  }

  private static func ends(_ pattern: String) -> (String, String)? {
    guard let arrow = pattern.firstRange(of: "->") else { return nil }
    let (first, last) = (String(pattern[..<arrow.lowerBound]), String(pattern[arrow.upperBound...]))
    return first.isEmpty || last.isEmpty ? nil : (first, last)
  }

  /// The nodes behind the first tensor from which the second one follows.
  private func between(_ values: [Value]) throws -> Set<Node> {
    guard let (first, last) = Self.ends(pattern) else { return [] }
    func find(_ name: String) throws -> Value {
      if let value = values.first(where: { $0.name == name }) { return value }
      let nearest = Set(values.map(\.name)).map { (Self.distance(name, $0), $0) }.sorted { $0 < $1 }.prefix(3)
      throw PassError(
        .badOption, "the selector '\(text)' names a tensor '\(name)' that is not there",
        advice: "the nearest names are \(nearest.map { "'\($0.1)'" }.joined(separator: ", "))")
    }
    let (start, end) = (try find(first), try find(last))
    var behind = Set<Node>()
    var waiting = start.uses.map(\.node)
    while let node = waiting.popLast() {
      guard behind.insert(node).inserted else { continue }
      for output in node.outputs.compactMap({ $0 }) { waiting += output.uses.map(\.node) }
    }
    var result = Set<Node>()
    waiting = [end.producer].compactMap { $0 }
    while let node = waiting.popLast() {
      guard behind.contains(node), result.insert(node).inserted else { continue }
      waiting += (node.inputs + node.capturedValues).compactMap { $0?.producer }
    }
    guard !result.isEmpty else {
      throw PassError(
        .badOption, "the selector '\(text)' matches nothing: no way leads from '\(first)' to '\(last)'",
        advice: "name the tensor that comes first first")
    }
    return result
  }

  /// The names that selectors see, in the order of the nodes.
  private static func nodeNames(_ nodes: [Node]) -> [String] {
    var counts: [String: Int] = [:]
    return nodes.map { node in
      let index = counts[node.opType, default: 0]
      counts[node.opType] = index + 1
      if let name = node.name, !name.isEmpty { return name }
      return "\(node.opType)#\(index)"
    }
  }

  private func unmatched(_ names: [String], _ nodes: [Node], _ values: [Value]) -> PassError {
    var candidates: [String] = []
    if scope == .any || scope == .operators { candidates += nodes.map(\.opType) }
    if scope == .any || scope == .nodes { candidates += names }
    if scope == .any || scope == .tensors { candidates += values.map(\.name) }
    let nearest = Set(candidates).map { (Self.distance(pattern, $0), $0) }.sorted { $0 < $1 }.prefix(3).map {
      "'\($0.1)'"
    }
    return PassError(
      .badOption, "the selector '\(text)' matches nothing",
      advice: nearest.isEmpty ? nil : "the nearest names are \(nearest.joined(separator: ", "))")
  }

  /// Levenshtein's distance.
  static func distance(_ left: String, _ right: String) -> Int {
    let (a, b) = (Array(left.utf8), Array(right.utf8))
    var row = Array(0...b.count)
    for i in a.indices {
      var diagonal = row[0]
      row[0] = i + 1
      for j in b.indices {
        let cost = min(row[j] + 1, row[j + 1] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
        diagonal = row[j + 1]
        row[j + 1] = cost
      }
    }
    return row[b.count]
  }
}
