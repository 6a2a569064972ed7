import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Each rule holds on a sound graph and fires on the one fault made for it.
struct GraphVerifierTests {
  private func sound() -> GraphBuilder {
    var builder = GraphBuilder()
    builder.input("x", [1, 3])
    builder.constant("w", [1, 2, 3])
    builder.node("Add", ["x", "w"], ["a"], name: "add")
    builder.node("Relu", ["a"], ["y"], name: "relu")
    builder.output("y")
    return builder
  }

  private func rules(_ model: Model) -> Set<GraphVerifier.Rule> { Set(GraphVerifier.violations(in: model).map(\.rule)) }

  @Test func soundGraphs() throws {
    #expect(rules(sound().model).isEmpty)
    try GraphVerifier.verify(sound().model)
  }

  @Test func singleProducer() {
    var builder = sound()
    builder.node("Neg", ["x"], ["a"], name: "neg")
    #expect(rules(builder.model).contains(.singleProducer))
  }

  @Test func initializerAndInput() {
    var builder = sound()
    builder.graph.inputs.append(Graph.Port(builder.value("w")))
    #expect(rules(builder.model).isEmpty)
  }

  @Test func uniqueNames() {
    let builder = sound()
    builder.graph.append(Node("Neg", inputs: [builder.graph.inputs[0].value], outputs: [Value("a")]))
    #expect(rules(builder.model) == [.uniqueNames])
  }

  @Test func nestedNameHidesOuter() {
    var builder = sound()
    let body = Graph(name: "body")
    let inner = Value("a")
    body.append(Node("Identity", inputs: [builder.value("x")], outputs: [inner]))
    body.outputs.append(Graph.Port(inner))
    builder.node("If", ["x"], ["z"], [Attribute("then_branch", .graph(body))])
    #expect(rules(builder.model) == [.uniqueNames])
  }

  @Test func topologicalOrder() {
    let builder = sound()
    builder.graph.setNodes(builder.graph.nodes.reversed())
    #expect(rules(builder.model) == [.topologicalOrder])
  }

  @Test func danglingNames() {
    var builder = sound()
    builder.node("Neg", ["nowhere"], ["n"])
    #expect(rules(builder.model) == [.noDanglingNames])
  }

  @Test func outputsExist() {
    var builder = sound()
    builder.output("nowhere")
    #expect(rules(builder.model) == [.outputsExist])
  }

  @Test func useDef() {
    var builder = sound()
    let stray = Node("Neg", inputs: [builder.value("x")], outputs: [Value("s")])
    #expect(rules(builder.model) == [.useDef])
    stray.disconnect()
    #expect(rules(builder.model).isEmpty)
  }

  @Test func uniqueAttributes() {
    let builder = sound()
    builder.graph.nodes[1].attributes = [Attribute("k", int: 1), Attribute("k", int: 2)]
    #expect(rules(builder.model) == [.uniqueAttributes])
  }

  @Test func namedOperators() {
    let builder = sound()
    builder.graph.nodes[1].opType = ""
    #expect(rules(builder.model) == [.namedOperators])
  }

  @Test func opsetImports() {
    let builder = sound()
    builder.graph.nodes[1].domain = "com.example"
    #expect(rules(builder.model) == [.opsetImports])
    let error = #expect(throws: GraphError.self) { try GraphVerifier.verify(builder.model) }
    #expect(error?.message.contains("com.example") ?? false)
  }
}
