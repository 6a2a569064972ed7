import FloatExecution
import ONNXGraph
import ONNXTensor
import QuantPasses
import TestSupport
import Testing

/// What a raised model computes is what it computed before, to the bit.
struct RaiseOpsetTests {
  private func check(
    _ opset: Int, irVersion: Int = 4, expecting operators: [String]? = nil, _ build: (inout GraphBuilder) -> Void
  ) throws {
    func make() -> Model {
      var builder = GraphBuilder(opset: opset, irVersion: irVersion)
      build(&builder)
      return builder.model
    }
    let (reference, model) = (make(), make())
    let journal = try RaiseOpset().run(on: model)
    #expect(!journal.isEmpty)
    #expect(model.opset() == 13)
    #expect(model.irVersion == 7)
    #expect(GraphVerifier.violations(in: model).isEmpty)
    if let operators { #expect(model.graph.nodes.map(\.opType) == operators) }
    #expect(try sqnr(reference, model, samples(reference, count: 2)) == .infinity)
  }

  @Test func attributesBecomeInputs() throws {
    try check(9) { builder in
      builder.input("x", [1, 4, 6])
      builder.node(
        "Slice", ["x"], ["a"],
        [Attribute("starts", ints: [1]), Attribute("ends", ints: [5]), Attribute("axes", ints: [2])])
      builder.node("Pad", ["a"], ["b"], [Attribute("pads", ints: [0, 0, 1, 0, 0, 2]), Attribute("value", float: 0.5)])
      builder.node("Clip", ["b"], ["c"], [Attribute("min", float: -0.5), Attribute("max", float: 0.75)])
      builder.node("Unsqueeze", ["c"], ["d"], [Attribute("axes", ints: [0])])
      builder.node("Squeeze", ["d"], ["e"], [Attribute("axes", ints: [0, 1])])
      builder.node("Split", ["e"], ["f", "g"], [Attribute("split", ints: [1, 3]), Attribute("axis", int: 0)])
      builder.node("ReduceSum", ["g"], ["h"], [Attribute("axes", ints: [0]), Attribute("keepdims", int: 0)])
      builder.output("f")
      builder.output("h")
    }
  }

  @Test func softmaxOverSeveralAxes() throws {
    try check(11, expecting: ["Shape", "Flatten", "Softmax", "Reshape"]) { builder in
      builder.input("x", [2, 3, 4])
      builder.node("Softmax", ["x"], ["y"])
      builder.output("y")
    }
  }

  @Test func softmaxOverTheLastAxis() throws {
    try check(11, expecting: ["LogSoftmax"]) { builder in
      builder.input("x", [2, 3])
      builder.node("LogSoftmax", ["x"], ["y"])
      builder.output("y")
    }
  }

  @Test func upsample() throws {
    var builder = GraphBuilder(opset: 8, irVersion: 4)
    builder.input("x", [1, 1, 2, 2])
    builder.node(
      "Upsample", ["x"], ["y"], [Attribute("scales", floats: [1, 1, 2, 2]), Attribute("mode", string: "nearest")])
    builder.output("y")
    _ = try RaiseOpset().run(on: builder.model)
    let node = builder.graph.nodes[0]
    #expect(node.opType == "Resize")
    #expect(node.inputs.count == 3 && node.inputs[1] == nil)
    let result: [String: Tensor] = try FloatExecutor(model: builder.model).run([
      "x": Tensor([Float(1), 2, 3, 4], shape: [1, 1, 2, 2])
    ])
    #expect(result["y"]?.array(Float.self) == [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
  }

  @Test func initializersLeaveTheInputs() throws {
    try check(8, irVersion: 3) { builder in
      builder.input("x", [1, 3])
      builder.input("w", [3, 2])
      builder.weight("w", [3, 2])
      builder.node("MatMul", ["x", "w"], ["y"])
      builder.output("y")
    }
  }

  @Test func unchangedOperatorsStay() throws {
    var builder = GraphBuilder(opset: 12, irVersion: 7)
    builder.input("x", [1, 3])
    builder.node("Relu", ["x"], ["y"])
    builder.output("y")
    let journal = try RaiseOpset().run(on: builder.model)
    #expect(journal.count == 1)
    let again = try RaiseOpset().run(on: builder.model)
    #expect(again.isEmpty)
  }

  @Test func refusesByName() throws {
    var builder = GraphBuilder(opset: 8, irVersion: 4)
    builder.input("x", [1, 3])
    builder.node("Clip", ["x"], ["a"], [Attribute("min", float: 0)])
    builder.node("ConstantFill", ["a"], ["y"], name: "the node")
    builder.output("y")
    let before = TextPrinter.text(builder.model)
    let error = #expect(throws: PassError.self) { try RaiseOpset().run(on: builder.model) }
    #expect(error?.message.contains("'the node'") ?? false)
    #expect(TextPrinter.text(builder.model) == before)
  }
}
