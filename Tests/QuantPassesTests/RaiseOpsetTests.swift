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

  /// One pass from any opset to any later one.
  @Test func fromEightToTwentySeven() throws {
    func make() -> Model {
      var builder = GraphBuilder(opset: 8, irVersion: 3)
      builder.input("x", [2, 6])
      builder.node("Clip", ["x"], ["c"], [Attribute("min", float: -0.5), Attribute("max", float: 0.75)])
      builder.node("ReduceMax", ["c"], ["a"], [Attribute("axes", ints: [1]), Attribute("keepdims", int: 1)])
      builder.node("Split", ["c"], ["b", "d"], [Attribute("axis", int: 1)])
      builder.node("Mul", ["b", "d"], ["e"])
      builder.node("Add", ["e", "a"], ["f"])
      builder.node("Softmax", ["f"], ["y"], [Attribute("axis", int: 1)])
      builder.output("y", [2, 3])
      return builder.model
    }
    let (reference, model) = (make(), make())
    let journal = try RaiseOpset(to: 27).run(on: model)
    #expect(journal.contains { $0.action == "opset raised from 8 to 27" })
    #expect(model.opset() == 27 && model.irVersion == 13)
    #expect(GraphVerifier.violations(in: model).isEmpty)
    #expect(try sqnr(reference, model, samples(reference, count: 2)) == .infinity)
  }

  @Test func functionsAreRaisedAlong() throws {
    func make() -> Model {
      let (x, y) = (Value("x"), Value("y"))
      let body = Graph(name: "body")
      body.inputs = [Graph.Port(x)]
      body.outputs = [Graph.Port(y)]
      body.append(
        Node(
          "ReduceMean", inputs: [x], outputs: [y],
          attributes: [Attribute("axes", ints: [1]), Attribute("keepdims", int: 1)]))
      let function = Function(body: body)
      (function.name, function.domain) = ("Mean", "own")
      function.opsetImports = [OpsetImport(domain: "", version: 13)]
      var builder = GraphBuilder(opset: 13, irVersion: 8)
      builder.model.functions = [function]
      builder.model.setOpset(1, domain: "own")
      builder.input("a", [2, 3])
      builder.node("Mean", ["a"], ["b"]).domain = "own"
      builder.output("b", [2, 1])
      return builder.model
    }
    let (reference, model) = (make(), make())
    _ = try RaiseOpset(to: 21).run(on: model)
    #expect(model.functions[0].opset("") == 21)
    #expect(model.functions[0].body.nodes.map(\.opType) == ["Constant", "ReduceMean"])
    #expect(GraphVerifier.violations(in: model).isEmpty)
    #expect(try sqnr(reference, model, samples(reference, count: 2)) == .infinity)
  }

  @Test func whatHasNoLaterFormChangesNothing() throws {
    var builder = GraphBuilder(opset: 12, irVersion: 7)
    builder.input("x", [1, 4, 3])
    builder.node("Clip", ["x"], ["c"])
    builder.node("BatchNormalization", ["c", "s", "s", "s", "s"], ["y", "mean"], name: "training")
    builder.weight("s", [4])
    builder.output("y")
    let before = TextPrinter.text(builder.model)
    let error = #expect(throws: PassError.self) { try RaiseOpset(to: 21).run(on: builder.model) }
    #expect(error?.message.contains("'training'") ?? false)
    #expect(TextPrinter.text(builder.model) == before)
    #expect(throws: PassError.self) { try RaiseOpset(to: 99).run(on: builder.model) }
  }

  private func gemm(_ opset: Int, _ extend: (inout GraphBuilder) -> Void = { _ in }) -> Model {
    var builder = GraphBuilder(opset: opset, irVersion: opset == 28 ? 14 : 10)
    builder.input("x", [4, 32])
    builder.weight("w", [32, 32])
    builder.node("Gemm", ["x", "w"], ["y"])
    builder.output("y")
    extend(&builder)
    return builder.model
  }

  @Test func opset28IsLoweredForOnnxruntime() throws {
    let model = gemm(28)
    let (report, _) = try quantize(model, InsertionOptions(target: .onnxRuntime), evenStatistics(model))
    #expect(model.opset() == 27 && model.irVersion == 13)
    #expect(report.journal.contains { $0.action == "opset lowered from 28 to 27" })
    // A target without a limit keeps it.
    let other = gemm(28)
    _ = try quantize(other, InsertionOptions(target: .tensorRT), evenStatistics(other))
    #expect(other.opset() == 28)
  }

  @Test func whatCameWith28IsRefusedWithTheReason() throws {
    let model = gemm(28) { builder in
      builder.input("d", [1, 1, 4, 4])
      builder.node(
        "SpaceToDepth", ["d"], ["e"], name: "moved", [Attribute("blocksize", int: 2), Attribute("mode", string: "CRD")])
      builder.output("e")
    }
    let error = #expect(throws: PassError.self) {
      try quantize(model, InsertionOptions(target: .onnxRuntime), evenStatistics(model))
    }
    #expect(error?.message.contains("'moved'") ?? false)
    #expect(error?.message.contains("mode CRD is new in opset 28") ?? false)
  }

  @Test func opsetOnRequest() throws {
    var options = InsertionOptions(target: .onnxRuntime)
    options.opset = 21
    let model = gemm(17)
    _ = try quantize(model, options, evenStatistics(model))
    #expect(model.opset() == 21 && model.irVersion == 10)
    for wrong in [12, 28] {
      options.opset = wrong
      let model = gemm(17)
      #expect(throws: PassError.self) { try quantize(model, options, evenStatistics(model)) }
    }
    // What cannot be lowered is refused.
    options.opset = 17
    let later = gemm(21)
    #expect(throws: PassError.self) { try quantize(later, options, evenStatistics(later)) }
  }
}
