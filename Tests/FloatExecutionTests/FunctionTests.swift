import FloatExecution
import ONNXGraph
import ONNXTensor
import Testing

@Suite struct FunctionTests {
  private func reference(_ name: String, to source: String, type: Int32) -> Attribute {
    var attribute = Attribute(name, .none)
    attribute.type = type
    attribute.referenceName = source
    return attribute
  }

  /// Scale(x; factor = 2) = factor · x.
  private func scale() -> Function {
    let body = GraphSketch("Scale")
    let x = body.input("x")
    let factor = body.node(
      "Constant", [], to: "factor", attributes: [reference("value_float", to: "factor", type: 1)])
    body.output(body.node("Mul", [x, factor], to: "y"))
    let function = Function("Scale", body: body.graph)
    function.attributeDefaults = [Attribute("factor", float: 2)]
    return function
  }

  private func run(_ builder: GraphSketch, _ functions: [Function], _ x: Float...) throws -> [Float]? {
    let model = builder.model(functions: functions, domains: ["local"])
    return try FloatExecutor(model: model).run(["x": Tensor(x, shape: [x.count])])["y"]?.floats
  }

  @Test func attributesComeFromTheCallElseFromTheDefault() throws {
    let builder = GraphSketch()
    let x = builder.input("x")
    let a = builder.node("Scale", [x], to: "a", domain: "local")
    let b = builder.node("Scale", [a], to: "b", domain: "local", [Attribute("factor", float: -0.5)])
    builder.output(builder.node("Scale", [b], to: "y", domain: "local"))
    #expect(try run(builder, [scale()], 1, 3) == [-2, -6])
  }

  @Test func attributesThatNobodyGivesAreLeftOut() throws {
    // Without alpha LeakyRelu has its own default, 0.01.
    let body = GraphSketch("Leak")
    body.output(
      body.node("LeakyRelu", [body.input("x")], to: "y", attributes: [reference("alpha", to: "alpha", type: 1)]))
    let function = Function("Leak", body: body.graph)
    function.attributes = ["alpha"]
    for (attributes, expected) in [([], -0.01), ([Attribute("alpha", float: 0.5)], -0.5)] as [([Attribute], Float)] {
      let builder = GraphSketch()
      builder.output(builder.node("Leak", [builder.input("x")], to: "y", domain: "local", attributes))
      #expect(try run(builder, [function], -1) == [expected])
    }
  }

  @Test func functionsCallFunctions() throws {
    let body = GraphSketch("Twice")
    let x = body.input("x")
    let once = body.node(
      "Scale", [x], to: "once", domain: "local", [reference("factor", to: "by", type: 1)])
    body.output(body.node("Scale", [once], to: "y", domain: "local", [reference("factor", to: "by", type: 1)]))
    let twice = Function("Twice", body: body.graph)
    twice.attributes = ["by"]
    let builder = GraphSketch()
    builder.output(
      builder.node("Twice", [builder.input("x")], to: "y", domain: "local", [Attribute("by", float: 3)]))
    #expect(try run(builder, [scale(), twice], 2) == [18])
  }

  @Test func referencesReachIntoNestedGraphs() throws {
    let body = GraphSketch("Choose")
    let (x, condition) = (body.input("x"), body.input("c", .bool, []))
    let yes = GraphSketch("yes")
    yes.output(
      yes.node("LeakyRelu", [x], to: "l", attributes: [reference("alpha", to: "slope", type: 1)]))
    let no = GraphSketch("no")
    no.output(no.node("Neg", [x], to: "n"))
    body.output(
      body.node(
        "If", [condition], to: "y",
        attributes: [Attribute("then_branch", .graph(yes.graph)), Attribute("else_branch", .graph(no.graph))]))
    let function = Function("Choose", body: body.graph)
    function.attributes = ["slope"]
    let builder = GraphSketch()
    let inputs = [builder.input("x"), builder.constant("yes", Tensor(scalar: true))]
    builder.output(builder.node("Choose", inputs, to: "y", domain: "local", [Attribute("slope", float: 0.25)]))
    #expect(try run(builder, [function], -4, 4) == [-1, 4])
  }

  @Test func aFunctionDoesNotSeeItsCallersValues() throws {
    let body = GraphSketch("Peek")
    // Same name as a value of the main graph, but a value of its own, which nothing defines.
    body.output(body.node("Add", [body.input("x"), Value("secret")], to: "y"))
    let builder = GraphSketch()
    let x = builder.input("x")
    builder.output(builder.node("Neg", [x], to: "secret"))
    builder.output(builder.node("Peek", [x], to: "y", domain: "local"))
    let error = try #require(throws: ExecutionError.self) {
      try run(builder, [Function("Peek", body: body.graph)], 1)
    }
    #expect(error.description.contains("'secret'"))
  }

  @Test func overloadsAreToldApart() throws {
    func constant(_ value: Float, overload: String) -> Function {
      let body = GraphSketch("F")
      body.output(body.node("Mul", [body.input("x"), body.constant("k", [value])], to: "y"))
      let function = Function("F", body: body.graph)
      function.overload = overload
      return function
    }
    let builder = GraphSketch()
    builder.output(builder.node("F", [builder.input("x")], to: "y", domain: "local"))
    builder.graph.nodes[0].overload = "b"
    #expect(try run(builder, [constant(10, overload: "a"), constant(100, overload: "b")], 1) == [100])
  }

  /// One call is deep, two calls per body would take 2^depth preparations.
  @Test(arguments: [1, 2]) func functionsThatCallThemselvesAreAnError(calls: Int) throws {
    let body = GraphSketch("Round")
    var x = body.input("x")
    for index in 0..<calls { x = body.node("Round", [x], to: "y\(index)", domain: "local") }
    body.output(x)
    let builder = GraphSketch()
    builder.output(builder.node("Round", [builder.input("x")], to: "y", domain: "local"))
    let error = try #require(throws: ExecutionError.self) {
      try run(builder, [Function("Round", body: body.graph)], 1)
    }
    #expect(error.description.contains("call"))
    #expect(error.node?.contains("Round") == true)
  }
}
