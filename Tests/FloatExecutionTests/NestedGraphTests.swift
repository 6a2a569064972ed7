import FloatExecution
import ONNXGraph
import ONNXTensor
import Testing

@Suite struct NestedGraphTests {
  /// y = c ? a·x : x, with a = x + 1 computed outside and used inside only.
  private func conditional() -> Model {
    let builder = GraphSketch()
    let (x, condition) = (builder.input("x"), builder.input("c", .bool, []))
    let a = builder.node("Add", [x, builder.constant("one", [1])], to: "a")
    let yes = GraphSketch("yes")
    yes.output(yes.node("Mul", [a, x], to: "product"))
    let no = GraphSketch("no")
    // The branch computes nothing: it hands an outer value on.
    no.output(x)
    builder.output(
      builder.node(
        "If", [condition], to: "y",
        attributes: [Attribute("then_branch", .graph(yes.graph)), Attribute("else_branch", .graph(no.graph))]))
    return builder.model()
  }

  @Test func branchesReadTheGraphAround() throws {
    let executor = try FloatExecutor(model: conditional())
    #expect(try executor.run(["x": Tensor(2, 3), "c": Tensor(scalar: true)])["y"]?.floats == [6, 12])
    #expect(try executor.run(["x": Tensor(2, 3), "c": Tensor(scalar: false)])["y"]?.floats == [2, 3])
    // Nothing of a run stays for the next one.
    #expect(try executor.run(["x": Tensor(5), "c": Tensor(scalar: true)])["y"]?.floats == [30])
  }

  @Test func graphsTwoLevelsDeepReadTheOutermost() throws {
    let builder = GraphSketch()
    let (x, condition) = (builder.input("x"), builder.input("c", .bool, []))
    let scale = builder.constant("scale", [10])
    let hidden = builder.node("Neg", [x], to: "hidden")
    func branch(_ name: String, _ body: (GraphSketch) -> Value) -> Attribute {
      let inner = GraphSketch(name)
      inner.output(body(inner))
      return Attribute(name, .graph(inner.graph))
    }
    let inner = [
      branch("then_branch") { $0.node("Mul", [hidden, scale], to: "deep") },
      branch("else_branch") { $0.node("Add", [hidden, scale], to: "sum") },
    ]
    let outer = [
      branch("then_branch") { $0.node("If", [condition], to: "middle", attributes: inner) },
      branch("else_branch") { $0.node("Exp", [x], to: "other") },
    ]
    builder.output(builder.node("If", [condition], to: "y", attributes: outer))
    let executor = try FloatExecutor(model: builder.model())
    #expect(try executor.run(["x": Tensor(2), "c": Tensor(scalar: true)])["y"]?.floats == [-20])
  }

  /// Powers of `base` by a loop: carried p ← p·base, scanned: every p.
  private func powers() -> Model {
    let builder = GraphSketch()
    let (count, base) = (builder.input("n", .int64, []), builder.input("base", .float32, []))
    let body = GraphSketch("body")
    body.input("i", .int64, [])
    let condition = body.input("condition_in", .bool, [])
    let power = body.input("p", .float32, [])
    let proceeds = body.node("Identity", [condition], to: "condition_out")
    let next = body.node("Mul", [power, base], to: "p_out")
    let scanned = body.node("Identity", [next], to: "scan")
    body.output(proceeds, next, scanned)
    let outputs = [Value("last"), Value("all")]
    builder.graph.append(
      Node(
        "Loop", name: "loop", inputs: [count, nil, builder.constant("first", [1])], outputs: outputs,
        attributes: [Attribute("body", .graph(body.graph))]))
    outputs.forEach { builder.output($0) }
    return builder.model()
  }

  @Test(arguments: [0, 1, 5]) func loopsCarryAndScan(count: Int) throws {
    let executor = try FloatExecutor(model: powers())
    let results = try executor.run(["n": Tensor(scalar: Int64(count)), "base": Tensor(scalar: Float(3))])
    let expected = (0..<count).reduce(into: [Float(1)]) { powers, _ in powers.append(3 * powers[powers.count - 1]) }
    #expect(results["last"]?.floats == [expected[count]])
    #expect(results["all"]?.floats == Array(expected.dropFirst()))
  }

  @Test func aLoopStopsWhenItsConditionSays() throws {
    // i counts until it reaches the captured limit.
    let builder = GraphSketch()
    let limit = builder.input("limit", .int64, [])
    let body = GraphSketch("body")
    let index = body.input("i", .int64, [])
    body.input("condition_in", .bool, [])
    body.output(body.node("Less", [index, limit], to: "condition_out"), body.node("Identity", [index], to: "scan"))
    let all = Value("all")
    builder.graph.append(
      Node(
        "Loop", name: "loop", inputs: [nil, builder.constant("go", Tensor(scalar: true))], outputs: [all],
        attributes: [Attribute("body", .graph(body.graph))]))
    builder.output(all)
    let result = try FloatExecutor(model: builder.model()).run(["limit": Tensor(scalar: Int64(3))])
    #expect(result["all"]?.integers == [0, 1, 2, 3])
  }

  @Test func captureOfAValueThatNothingDefinesIsAnError() throws {
    let builder = GraphSketch()
    let condition = builder.input("c", .bool, [])
    let yes = GraphSketch("then")
    yes.output(yes.node("Neg", [Value("nowhere")], to: "n"))
    let no = GraphSketch("else")
    no.output(no.node("Neg", [no.constant("one", [1])], to: "m"))
    builder.output(
      builder.node(
        "If", [condition], to: "y",
        attributes: [Attribute("then_branch", .graph(yes.graph)), Attribute("else_branch", .graph(no.graph))]))
    let executor = try FloatExecutor(model: builder.model())
    let error = try #require(throws: ExecutionError.self) { try executor.run(["c": Tensor(scalar: true)]) }
    #expect(error.description.contains("'nowhere'"))
    #expect(error.description.contains("make_n"))
    #expect(try executor.run(["c": Tensor(scalar: false)])["y"]?.floats == [-1])
  }
}
