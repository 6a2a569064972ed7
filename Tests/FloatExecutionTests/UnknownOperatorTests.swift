import FloatExecution
import ONNXGraph
import ONNXTensor
import Testing

@Suite struct UnknownOperatorTests {
  private func branches() -> Model {
    let builder = GraphSketch()
    let (x, condition) = (builder.input("x"), builder.input("c", .bool, []))
    let yes = GraphSketch("yes")
    yes.output(yes.node("Conjure", [x], to: "rabbit", domain: "org.magic"))
    let no = GraphSketch("no")
    no.output(no.node("Neg", [x], to: "n"))
    builder.output(
      builder.node(
        "If", [condition], to: "y",
        attributes: [Attribute("then_branch", .graph(yes.graph)), Attribute("else_branch", .graph(no.graph))]))
    return builder.model(domains: ["org.magic"])
  }

  @Test func aBranchThatIsNotTakenMayHoldAnything() throws {
    let executor = try FloatExecutor(model: branches())
    #expect(try executor.run(["x": Tensor(1), "c": Tensor(scalar: false)])["y"]?.floats == [-1])
  }

  @Test func theErrorNamesOperatorAndNode() throws {
    let executor = try FloatExecutor(model: branches())
    let error = try #require(throws: ExecutionError.self) {
      try executor.run(["x": Tensor(1), "c": Tensor(scalar: true)])
    }
    #expect(error.code == .unsupported)
    #expect(error.message.contains("org.magic.Conjure"))
    #expect(error.node == "make_rabbit [Conjure]")
  }

  @Test func itIsReportedAfterWhatRunsBeforeIt() throws {
    let builder = GraphSketch()
    let a = builder.node("Neg", [builder.input("x")], to: "a")
    builder.output(builder.node("Conjure", [a], to: "y"))
    let executor = try FloatExecutor(model: builder.model())
    var seen: [String] = []
    let error = try #require(throws: ExecutionError.self) {
      let _: [String: Tensor] = try executor.run(["x": Tensor(1)]) { value, _ in seen.append(value.name) }
    }
    #expect(error.code == .unsupported && error.message.contains("ai.onnx.Conjure"))
    #expect(seen == ["x", "a"])
  }

  @Test func aNamelessNodeIsNamedByItsOutput() throws {
    let builder = GraphSketch()
    builder.output(builder.node("Conjure", [builder.input("x")], to: "y"))
    builder.graph.nodes[0].name = nil
    let executor = try FloatExecutor(model: builder.model())
    let error = try #require(throws: ExecutionError.self) { try executor.run(["x": Tensor(1)]) }
    #expect(error.node?.contains("y") == true)
  }

  @Test func damagedAttributesAreReportedAtTheirNode() throws {
    let builder = GraphSketch()
    builder.output(
      builder.node("LeakyRelu", [builder.input("x")], to: "y", attributes: [Attribute("alpha", string: "steep")]))
    let executor = try FloatExecutor(model: builder.model())
    let error = try #require(throws: ExecutionError.self) { try executor.run(["x": Tensor(1)]) }
    #expect(error.code == .failed && error.node == "make_y [LeakyRelu]" && error.message.contains("'alpha'"))
  }

  @Test func aModelWithoutOperatorSetsIsAnError() throws {
    let builder = GraphSketch()
    builder.output(builder.node("Neg", [builder.input("x")], to: "y"))
    let model = builder.model()
    model.opsetImports = []
    let executor = try FloatExecutor(model: model)
    let error = try #require(throws: ExecutionError.self) { try executor.run(["x": Tensor(1)]) }
    #expect(error.code == .unsupported && error.message.contains("opset"))
  }
}
