import ONNXGraph
import ONNXTensor
import Testing

/// Uses and producers follow every edit: a list of uses is always what a walk over the nodes would find.
@Suite struct UseDefTests {
  private let graph = Graph(name: "g")
  private let x = Value("x")
  private let y = Value("y")

  private func node(_ opType: String, _ inputs: [Value?], _ outputs: [Value?], _ attributes: [Attribute] = []) -> Node {
    let node = Node(opType, name: opType, inputs: inputs, outputs: outputs, attributes: attributes)
    graph.append(node)
    return node
  }

  /// What `uses` must be, from the nodes.
  private func check(_ values: Value..., graphs: [Graph]) {
    let nodes = graphs.flatMap(\.nodes)
    for value in values {
      var expected: Set<String> = []
      for (place, node) in nodes.enumerated() {
        for (index, input) in node.inputs.enumerated() where input === value { expected.insert("\(place):\(index)") }
      }
      let actual = value.uses.map { use in "\(nodes.firstIndex { $0 === use.node } ?? -1):\(use.index)" }
      #expect(Set(actual) == expected && actual.count == expected.count, "uses of \(value.name)")
      let producer = nodes.first { $0.outputs.contains { $0 === value } }
      #expect(value.producer === producer, "producer of \(value.name)")
    }
  }

  @Test func aNodeThatReadsAValueTwiceIsTwoUses() {
    let add = node("Add", [x, x], [y])
    #expect(x.uses.map(\.index).sorted() == [0, 1])
    #expect(x.consumers == [add])
    #expect(y.producer === add && y.outputIndex == 0)
    check(x, y, graphs: [graph])
  }

  @Test func setInput() {
    let z = Value("z")
    let add = node("Add", [x, x], [y])
    add.setInput(1, to: z)
    check(x, y, z, graphs: [graph])
    #expect(add.inputs[0] === x && add.inputs[1] === z)
    add.setInput(0, to: nil)
    check(x, y, z, graphs: [graph])
    #expect(x.uses.isEmpty)
    // To what it is already.
    add.setInput(1, to: z)
    check(x, y, z, graphs: [graph])
  }

  @Test func setInputs() {
    let z = Value("z")
    let concat = node("Concat", [x, y, x], [Value("c")])
    concat.setInputs([z, x])
    check(x, y, z, graphs: [graph])
    #expect(y.uses.isEmpty && concat.inputs.count == 2)
    concat.setInputs([])
    check(x, y, z, graphs: [graph])
  }

  @Test func setOutput() {
    let z = Value("z")
    let split = node("Split", [x], [y, z])
    #expect(z.outputIndex == 1)
    split.setOutput(1, to: nil)
    #expect(z.producer == nil && z.outputIndex == nil)
    let w = Value("w")
    split.setOutput(0, to: w)
    check(x, y, z, w, graphs: [graph])
  }

  @Test func anOutputThatMovedStaysWithItsNewProducer() {
    let first = node("Neg", [x], [y])
    let second = node("Abs", [x], [Value("other")])
    second.setOutput(0, to: y)
    first.setOutput(0, to: Value("spare"))
    #expect(y.producer === second)
  }

  @Test func replaceUses() {
    let (a, b, replacement) = (Value("a"), Value("b"), Value("replacement"))
    let neg = node("Neg", [x], [a])
    let sum = node("Sum", [x, a, x], [b])
    graph.outputs = [Graph.Port(x)]
    graph.replaceUses(of: x, with: replacement)
    check(x, a, b, replacement, graphs: [graph])
    #expect(neg.inputs[0] === replacement && sum.inputs[0] === replacement && sum.inputs[2] === replacement)
    // The list of outputs is no use.
    #expect(graph.isOutput(x))
  }

  @Test func replaceSomeUses() {
    let replacement = Value("replacement")
    let neg = node("Neg", [x], [Value("a")])
    let sum = node("Sum", [x, y, x], [Value("b")])
    graph.replaceUses(of: x, with: replacement) { $0.node === sum && $0.index == 2 }
    check(x, y, replacement, graphs: [graph])
    #expect(neg.inputs[0] === x && sum.inputs[0] === x && sum.inputs[2] === replacement)
  }

  @Test func usesInNestedGraphsAreReplacedToo() {
    let inner = Graph(name: "inner")
    let reader = Node("Neg", inputs: [x], outputs: [Value("n")])
    inner.append(reader)
    let branch = node("If", [y], [Value("z")], [Attribute("then_branch", .graph(inner))])
    check(x, y, graphs: graph.allGraphs)
    #expect(branch.capturedValues == [x])
    let replacement = Value("replacement")
    graph.replaceUses(of: x, with: replacement)
    check(x, replacement, graphs: graph.allGraphs)
    #expect(reader.inputs[0] === replacement)
  }

  @Test func removedNodesGiveUpTheirUses() {
    let inner = Graph(name: "inner")
    inner.append(Node("Neg", inputs: [x], outputs: [Value("n")]))
    let a = Value("a")
    let doomed = node("If", [y], [a], [Attribute("then_branch", .graph(inner))])
    let kept = node("Neg", [x], [Value("b")])
    #expect(x.uses.count == 2)
    graph.remove([doomed])
    #expect(graph.nodes == [kept])
    #expect(x.uses.count == 1 && y.uses.isEmpty && a.producer == nil)
  }

  @Test func insertKeepsTheOrder() {
    let last = node("Last", [x], [y])
    let nodes = ["First", "Second"].map { Node($0, inputs: [x], outputs: []) }
    graph.insert(nodes, at: 0)
    #expect(graph.nodes == nodes + [last])
  }

  @Test func initializers() throws {
    let w = graph.addInitializer(named: "w", Tensor(scalar: Float(1)))
    let v = graph.addInitializer(named: "v", Tensor(scalar: Float(2)))
    graph.inputs = [Graph.Port(x), Graph.Port(w)]
    #expect(graph.requiredInputs == [x])
    graph.replaceInitializer(v, with: TensorLiteral(name: "v", Tensor(scalar: Float(3))))
    #expect(try graph.initializer(for: v)?.tensor().floats == [3])
    graph.removeInitializers { $0 === w }
    #expect(graph.initializer(for: w) == nil)
    #expect(try graph.initializer(for: v)?.tensor().floats == [3])
    #expect(graph.requiredInputs == [x, w])
  }
}

@Suite struct CloningTests {
  /// A graph with an initializer and an If whose branch reads an inner and an outer value.
  private func make() -> (graph: Graph, outer: Value) {
    let outer = Value("outer")
    let graph = Graph(name: "g")
    graph.docString = "text"
    let x = Value("x", type: .tensor(.float32, [2]))
    graph.inputs = [Graph.Port(x)]
    let w = graph.addInitializer(named: "w", Tensor([1 as Float, 2], shape: [2]))
    let a = Value("a")
    graph.append(Node("Add", name: "add", inputs: [x, w], outputs: [a]))
    let branch = Graph(name: "branch")
    let n = Value("n")
    branch.append(Node("Add", name: "inner", inputs: [a, outer], outputs: [n]))
    branch.outputs = [Graph.Port(n)]
    let y = Value("y")
    graph.append(
      Node(
        "If", name: "if", inputs: [outer], outputs: [y, nil],
        attributes: [Attribute("then_branch", .graph(branch)), Attribute("k", int: 3)]))
    graph.outputs = [Graph.Port(y)]
    return (graph, outer)
  }

  @Test func aCopyHasItsOwnNodesAndValues() throws {
    let (graph, outer) = make()
    let copy = graph.cloned()
    #expect(copy.allGraphs.map(\.name) == graph.allGraphs.map(\.name))
    #expect(copy.values.map(\.name) == graph.values.map(\.name))
    #expect(copy.nodes.map(\.name) == graph.nodes.map(\.name))
    #expect(copy.docString == "text" && copy.nodes[1].int("k") == 3 && copy.nodes[1].outputs.count == 2)
    #expect(copy.inputs[0].value.type?.staticShape == [2])
    for (left, right) in zip(graph.allGraphs, copy.allGraphs) {
      #expect(left !== right)
      for (old, new) in zip(left.values, right.values) {
        #expect((old === new) == (old === outer), "\(old.name)")
      }
      #expect(Set(left.nodes).isDisjoint(with: right.nodes))
    }
    // The branch of the copy reads the copy's value, and outer values as before.
    let inner = try #require(copy.nodes[1].subgraphs.first?.nodes.first)
    #expect(inner.inputs[0] === copy.nodes[0].outputs[0])
    #expect(inner.inputs[1] === outer)
    #expect(outer.uses.count == 4)
    #expect(try copy.initializer(for: try #require(copy.nodes[0].input(1)))?.tensor().floats == [1, 2])
  }

  @Test func editingACopyLeavesTheOriginal() throws {
    let (graph, outer) = make()
    let copy = graph.cloned()
    let value = try #require(copy.nodes[0].output(0))
    copy.replaceUses(of: value, with: outer)
    copy.remove([copy.nodes[0]])
    copy.nodes[0].setAttribute(Attribute("k", int: 7))
    #expect(graph.nodes.count == 2 && graph.nodes[1].int("k") == 3)
    let inner = try #require(graph.nodes[1].subgraphs.first?.nodes.first)
    #expect(inner.inputs[0] === graph.nodes[0].outputs[0])
    #expect(graph.nodes[0].output(0)?.uses.count == 1)
  }
}
