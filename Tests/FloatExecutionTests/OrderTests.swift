import FloatExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

@Suite struct OrderTests {
  @Test func producersRunBeforeConsumersInAnyFileOrder() throws {
    let builder = GraphSketch()
    let x = builder.input("x")
    let a = builder.node("Neg", [x], to: "a")
    let b = builder.node("Exp", [a], to: "b")
    builder.output(builder.node("Add", [b, a], to: "y"))
    let inOrder = try FloatExecutor(model: builder.model()).run(["x": Tensor(1, -2)])
    builder.graph.setNodes(builder.graph.nodes.reversed())
    let reversed = try FloatExecutor(model: builder.model()).run(["x": Tensor(1, -2)])
    let (left, right) = (try #require(inOrder["y"]), try #require(reversed["y"]))
    #expect(left.isIdentical(to: right))
  }

  @Test(arguments: UInt64(0)..<8) func randomGraphs(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let builder = GraphSketch()
    var values = [builder.input("x"), builder.input("z")]
    for index in 0..<40 {
      let operands = (0..<2).map { _ in values[Int.random(in: 0..<values.count, using: &random)] }
      values.append(builder.node(["Add", "Sub", "Mul"][index % 3], operands, to: "v\(index)"))
    }
    builder.output(values[values.count - 1])
    let inputs = ["x": Tensor(0.5, -1.25, 3), "z": Tensor(1.5, 0.75, -0.125)]
    let expected = try #require(try FloatExecutor(model: builder.model()).run(inputs)["v39"])
    for _ in 0..<5 {
      builder.graph.setNodes(builder.graph.nodes.shuffled(using: &random))
      let order = try #require(builder.graph.topologicalOrder())
      var position: [Node: Int] = [:]
      for (index, node) in order.enumerated() { position[node] = index }
      for node in order {
        for producer in node.inputs.compactMap({ $0?.producer }) {
          #expect((position[producer] ?? .max) < (position[node] ?? -1))
        }
      }
      let shuffled = try #require(try FloatExecutor(model: builder.model()).run(inputs)["v39"])
      #expect(shuffled.isIdentical(to: expected))
    }
  }

  @Test func anOrderThatHoldsIsKept() throws {
    let builder = GraphSketch()
    let x = builder.input("x")
    for index in 0..<10 { builder.output(builder.node("Neg", [x], to: "y\(index)")) }
    let order = try #require(builder.graph.topologicalOrder())
    #expect(order == builder.graph.nodes)
  }

  @Test func aCycleIsAnError() throws {
    let builder = GraphSketch("round")
    let x = builder.input("x")
    let a = builder.node("Add", [x, nil], to: "a")
    let b = builder.node("Neg", [a], to: "b")
    builder.graph.nodes[0].setInput(1, to: b)
    builder.output(b)
    let model = builder.model()
    let error = try #require(throws: ExecutionError.self) { try FloatExecutor(model: model) }
    #expect(error.description.contains("'round'") && error.description.contains("cycle"))
  }

  @Test func aCaptureIsADependency() throws {
    // The If stands before the node whose result its branches read.
    let builder = GraphSketch()
    let (x, condition) = (builder.input("x"), builder.input("c", .bool, []))
    let a = Value("a")
    let yes = GraphSketch("yes")
    yes.output(yes.node("Neg", [a], to: "n"))
    let no = GraphSketch("no")
    no.output(no.node("Exp", [a], to: "e"))
    let y = builder.node(
      "If", [condition], to: "y",
      attributes: [Attribute("then_branch", .graph(yes.graph)), Attribute("else_branch", .graph(no.graph))])
    builder.graph.append(Node("Add", name: "late", inputs: [x, x], outputs: [a]))
    builder.output(y)
    let result = try FloatExecutor(model: builder.model()).run(["x": Tensor(3), "c": Tensor(scalar: true)])
    #expect(result["y"]?.floats == [-6])
  }
}

extension GraphSketch {
  func node(_ opType: String, _ inputs: [Value?], to output: String, attributes: [Attribute]) -> Value {
    node(opType, inputs, to: output, domain: nil, attributes)
  }
}
