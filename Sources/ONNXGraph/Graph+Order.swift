extension Graph {
  /// The nodes so that producers stand before consumers, otherwise in file order; nil when there is a cycle.
  package func topologicalOrder() -> [Node]? {
    var position: [ObjectIdentifier: Int] = [:]
    for (index, node) in nodes.enumerated() { position[ObjectIdentifier(node)] = index }
    var pending = [Int](repeating: 0, count: nodes.count)
    var dependents = [[Int]](repeating: [], count: nodes.count)
    for (index, node) in nodes.enumerated() {
      for value in node.inputs.compactMap({ $0 }) + node.capturedValues {
        if let producer = value.producer, let source = position[ObjectIdentifier(producer)] {
          dependents[source].append(index)
          pending[index] += 1
        }
      }
    }
    var ready = MinHeap()
    for index in pending.indices where pending[index] == 0 { ready.push(index) }
    var order: [Node] = []
    order.reserveCapacity(nodes.count)
    while let index = ready.pop() {
      order.append(nodes[index])
      for dependent in dependents[index] {
        pending[dependent] -= 1
        if pending[dependent] == 0 { ready.push(dependent) }
      }
    }
    return order.count == nodes.count ? order : nil
  }
}

extension Node {
  /// Values that nested graphs of this node read from outside themselves; also those that they return unchanged.
  package var capturedValues: [Value] {
    guard !subgraphs.isEmpty else { return [] }
    var defined = Set<ObjectIdentifier>()
    var result: [Value] = []
    func visit(_ graph: Graph) {
      for port in graph.inputs { defined.insert(ObjectIdentifier(port.value)) }
      for item in graph.initializers { defined.insert(ObjectIdentifier(item.value)) }
      for node in graph.nodes { for output in node.outputs { output.map { _ = defined.insert(ObjectIdentifier($0)) } } }
      for node in graph.nodes {
        result += node.inputs.compactMap { $0 }
        node.subgraphs.forEach(visit)
      }
      result += graph.outputs.map(\.value)
    }
    subgraphs.forEach(visit)
    return result.filter { !defined.contains(ObjectIdentifier($0)) }
  }
}

/// The smallest index first.
private struct MinHeap {
  private var items: [Int] = []

  mutating func push(_ item: Int) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[child] < items[(child - 1) / 2] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Int? {
    guard let first = items.first else { return nil }
    let last = items.removeLast()
    if !items.isEmpty {
      items[0] = last
      var parent = 0
      while true {
        var child = 2 * parent + 1
        if child >= items.count { break }
        if child + 1 < items.count, items[child + 1] < items[child] { child += 1 }
        if items[parent] <= items[child] { break }
        items.swapAt(parent, child)
        parent = child
      }
    }
    return first
  }
}
