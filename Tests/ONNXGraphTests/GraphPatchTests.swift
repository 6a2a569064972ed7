import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

struct GraphPatchTests {
  private func chain() -> GraphBuilder {
    var builder = GraphBuilder()
    builder.input("x", [2])
    builder.constant("w", [1, 2])
    builder.node("Add", ["x", "w"], ["a"], name: "add")
    builder.node("Relu", ["a"], ["y"], name: "relu")
    builder.output("y")
    return builder
  }

  private let entry = JournalEntry(rule: "R1", reason: "because", subject: .tensor("a"), action: "changed")

  @Test func insertsAndRewires() throws {
    var builder = chain()
    var patch = GraphPatch(builder.model)
    let fresh = Value("n")
    let relu = builder.graph.nodes[1]
    patch.add(
      entry,
      .insert(NodeBlueprint("Neg", name: "neg", inputs: [builder.value("a")], outputs: [fresh]), .before(relu)),
      .setInput(relu, 0, fresh))
    // Nothing happens before the patch is applied.
    #expect(builder.graph.nodes.count == 2)
    #expect(builder.value("a").uses.count == 1)
    let journal = try patch.apply()
    #expect(journal == [entry])
    #expect(builder.graph.nodes.map(\.opType) == ["Add", "Neg", "Relu"])
    #expect(GraphVerifier.violations(in: builder.model).isEmpty)
  }

  @Test func keepsProducersBeforeConsumers() throws {
    var builder = chain()
    var patch = GraphPatch(builder.model)
    let fresh = Value("n")
    patch.add(
      entry, .insert(NodeBlueprint("Neg", inputs: [builder.value("x")], outputs: [fresh]), .back),
      .setInput(builder.graph.nodes[0], 0, fresh))
    try patch.apply()
    #expect(builder.graph.nodes.map(\.opType) == ["Neg", "Add", "Relu"])
  }

  /// Whatever stands before the edit that fails is taken back.
  @Test(arguments: 0..<6) func failsAsAWhole(_ kind: Int) throws {
    var builder = chain()
    let before = TextPrinter.text(builder.model, elementLimit: nil)
    let (add, relu) = (builder.graph.nodes[0], builder.graph.nodes[1])
    var patch = GraphPatch(builder.model)
    let fresh = Value("n")
    patch.add(
      entry,
      .insert(NodeBlueprint("Neg", inputs: [builder.value("x")], outputs: [fresh]), .front),
      .setInput(add, 0, fresh), .setOpset(domain: "", version: 20), .setIRVersion(9),
      .setMetadata(key: "k", value: "v"),
      .setOperator(relu, opType: "Abs"), .setAttributes(relu, [Attribute("k", int: 1)]),
      .replaceInitializer(builder.value("w"), TensorLiteral(name: "w", Tensor([Float(3), 4], shape: [2]))))
    switch kind {
    case 0: patch.append(.remove(add))  // its output is still read
    case 1: patch.append(.setInput(add, 7, fresh))
    case 2: patch.append(.addInitializer(Value("x"), TensorLiteral(name: "x", Tensor(scalar: Float(1)))))
    case 3: patch.append(.setInput(add, 0, builder.value("y")))  // a cycle
    case 4: patch.append(.removeInitializer(builder.value("w")))
    default: patch.append(.setGraphOutput(0, Value("nothing")))
    }
    #expect(throws: GraphError.self) { try patch.apply() }
    #expect(TextPrinter.text(builder.model, elementLimit: nil) == before)
    #expect(GraphVerifier.violations(in: builder.model).isEmpty)
  }

  @Test func oldFaultsDoNotBlock() throws {
    var builder = chain()
    builder.node("Neg", ["nowhere"], ["unused"])
    var patch = GraphPatch(builder.model)
    patch.add(entry, .setOperator(builder.graph.nodes[1], opType: "Abs"))
    try patch.apply()
    #expect(builder.graph.nodes[1].opType == "Abs")
  }

  @Test func removesWhatBelongedToRemovedValues() throws {
    var builder = chain()
    builder.graph.valueInfos = [Graph.Port(builder.value("a"), info: ValueInfo(type: .tensor(.float32, [2])))]
    var patch = GraphPatch(builder.model)
    let (add, relu) = (builder.graph.nodes[0], builder.graph.nodes[1])
    patch.add(entry, .setInput(relu, 0, builder.value("x")), .remove(add), .removeInitializer(builder.value("w")))
    try patch.apply()
    #expect(builder.graph.valueInfos.isEmpty)
    #expect(builder.graph.initializers.isEmpty)
    #expect(GraphVerifier.violations(in: builder.model).isEmpty)
  }
}
