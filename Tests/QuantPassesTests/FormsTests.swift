import FloatExecution
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

/// Bodies of control flow, half precision and operators on integers.
struct FormsTests {
  /// An If whose branches name their tensors alike and share a weight of the main graph.
  private func branching() -> Model {
    var builder = GraphBuilder()
    builder.input("x", [4, 32])
    builder.input("c", [], .bool)
    builder.weight("w", [32, 32])
    builder.weight("shared", [32, 32])
    builder.node("Gemm", ["x", "w"], ["h"], name: "before")
    let (h, shared) = (builder.value("h"), builder.value("shared"))
    func body(_ name: String) -> Graph {
      let body = Graph(name: name)
      let (r, m) = (Value("r", type: .tensor(.float32, [4, 32])), Value("m"))
      body.append(Node("Relu", name: "\(name)_relu", inputs: [h], outputs: [r]))
      body.append(Node("MatMul", name: "\(name)_product", inputs: [r, shared], outputs: [m]))
      body.outputs = [Graph.Port(m)]
      return body
    }
    builder.node(
      "If", ["c"], ["y"], name: "branch",
      [Attribute("then_branch", .graph(body("then"))), Attribute("else_branch", .graph(body("else")))])
    builder.output("y")
    return builder.model
  }

  private func measured(_ model: Model) -> ModelStatistics {
    var values: [String: [Float]] = [:]
    for name in model.tensorNames.values { values[name] = [-1, -0.5, 0.25, 2] }
    return statistics(values)
  }

  @Test(arguments: TargetPreset.all.map(\.name)) func bodiesAreQuantizedAsTheyStand(_ target: String) throws {
    let model = branching()
    #expect(Set(model.tensorNames.values).isSuperset(of: ["r", "r@2", "m", "m@2"]))
    let options = InsertionOptions(target: try .named(target))
    let (report, text) = try quantize(model, options, measured(branching()))
    #expect(GraphVerifier.violations(in: model).isEmpty)
    for body in model.graph.allGraphs.dropFirst() {
      #expect(body.nodes.contains { $0.opType == "QuantizeLinear" })
      let product = try #require(body.nodes.first { $0.opType == "MatMul" })
      #expect(product.inputs.allSatisfy { $0?.producer?.opType == "DequantizeLinear" })
    }
    // Nobody reads the float weight any more.
    #expect(!model.graph.initializers.contains { $0.value.name == "shared" })
    #expect(report.nodes.contains { $0.node == "branch/then_product" && $0.isQuantized })
    let again = try InsertQDQ(options, statistics: measured(branching())).run(on: model)
    #expect(again.isUnchanged)
    #expect(TextPrinter.text(model, elementLimit: 8) == text)
  }

  @Test func aBranchThatNoSampleTookStaysFloat() throws {
    let options = InsertionOptions(target: .onnxRuntime)
    var known = measured(branching())
    known.tensors["r@2"] = nil
    // The branch ran: its tensors have no excuse.
    #expect(throws: PassError.self) { try quantize(branching(), options, known) }
    known.tensors["m@2"] = nil
    let model = branching()
    let (report, _) = try quantize(model, options, known)
    #expect(report.nodes.contains { $0.node == "branch/else_product" && !$0.isQuantized && $0.rule.id == "Q05" })
    #expect(report.nodes.contains { $0.node == "branch/then_product" && $0.isQuantized })
  }

  private func half() -> Model {
    var builder = GraphBuilder(opset: 13)
    builder.input("x", [4, 32], .float16)
    builder.constant("w", Tensor((0..<1024).map { Float16(Float($0 % 37) / 50 - 0.3) }, shape: [32, 32]))
    builder.constant("b", Tensor((0..<32).map { Float16(Float($0) / 8) }, shape: [32]))
    builder.node("Gemm", ["x", "w", "b"], ["h"], name: "gemm")
    builder.node("Relu", ["h"], ["y"])
    builder.output("y", nil, .float16)
    return builder.model
  }

  @Test(arguments: TargetPreset.all.map(\.name)) func halfPrecisionStays(_ target: String) throws {
    let known = statistics(["x": [-1, 0.5, 2], "h": [-3, 0.5, 7], "y": [0, 0.5, 7]])
    let other = half()
    let (report, _) = try quantize(other, InsertionOptions(target: try .named(target)), known)
    #expect(report.nodes.contains { $0.node == "gemm" && $0.isQuantized })
    #expect(other.opset() == 19)
    for node in other.graph.nodes where ["QuantizeLinear", "DequantizeLinear"].contains(node.opType) {
      #expect(node.input(1).flatMap { other.graph.initializer(for: $0) }?.elementType == .float16)
    }
    // A bias of onnxruntime's targets is exact.
    if target.hasPrefix("onnxruntime") {
      let codes = try #require(other.graph.initializers.first { $0.value.name == "b_quantized" }).literal.tensor()
      #expect(codes.array(Int32.self).map { Float($0) * 0x1p-24 } == (0..<32).map { Float($0) / 8 })
    }
  }

  @Test func whatStaysFloatBecomesHalfUnlessItOverflows() throws {
    func make() -> Model {
      var builder = GraphBuilder()
      builder.input("x", [4, 32])
      builder.weight("w", [32, 32])
      builder.constant("large", [Float](repeating: 100_000, count: 32))
      builder.node("Gemm", ["x", "w"], ["h"], name: "gemm")
      builder.node("Tanh", ["h"], ["t"], name: "small")
      builder.node("Mul", ["t", "large"], ["m"], name: "overflowing")
      builder.output("m")
      builder.output("t")
      return builder.model
    }
    var options = InsertionOptions(target: .tensorRT)
    options.highPrecision = .float16
    let model = make()
    let known = statistics(["x": [-1, 1], "h": [-3, 3], "t": [-1, 1], "m": [-100_000, 100_000]])
    let (report, _) = try quantize(model, options, known)
    #expect(report.journal.contains { $0.subject == .node("overflowing") && $0.action.contains("reaches 100000") })
    #expect(report.journal.contains { $0.subject == .node("small") && $0.action == "computes in float16" })
    #expect(model.opset() == 19)
    #expect(GraphVerifier.violations(in: model).isEmpty)
    // Inputs and outputs keep their type, and the results are those of float, as far as half precision goes.
    #expect(try sqnr(make(), model, samples(make(), count: 2)) > 25)
    options.highPrecision = .bfloat16
    let other = make()
    let (free, _) = try quantize(other, options, known)
    #expect(!free.journal.contains { $0.action.contains("stays float32") })
  }

  @Test func operatorsOnIntegers() throws {
    func make() -> Model {
      var builder = GraphBuilder()
      builder.input("x", [1, 16, 8, 8])
      builder.weight("w", [16, 16, 3, 3], limit: 0.2)
      builder.weight("v", [16, 16, 3, 3], limit: 0.2)
      builder.weight("b", [16])
      builder.node("Conv", ["x", "w", "b"], ["c"], name: "first", [Attribute("pads", ints: [1, 1, 1, 1])])
      builder.node("Relu", ["c"], ["r"])
      builder.node("Conv", ["r", "v"], ["d"], name: "second", [Attribute("pads", ints: [1, 1, 1, 1])])
      builder.node("Add", ["d", "r"], ["s"], name: "sum")
      builder.node("MaxPool", ["s"], ["p"], name: "pool", [Attribute("kernel_shape", ints: [2, 2])])
      builder.node("Conv", ["p", "v"], ["y"], name: "last", [Attribute("pads", ints: [1, 1, 1, 1])])
      builder.output("y")
      return builder.model
    }
    let known = try measure(make(), samples: samples(make(), count: 4))
    var options = InsertionOptions(target: .onnxRuntime)
    options.usesIntegerOperators = true
    let model = make()
    let (report, _) = try quantize(model, options, known)
    let types = Set(model.graph.nodes.map(\.opType))
    #expect(types.isSuperset(of: ["QLinearConv", "QLinearAdd", "MaxPool"]))
    #expect(!types.contains("Relu") && !types.contains("Add"))
    #expect(model.opset("com.microsoft") == 1)
    #expect(report.journal.contains { $0.rule == "F07" && $0.subject == .node("first") })
    #expect(GraphVerifier.violations(in: model).isEmpty)
    options.target = .tensorRT
    #expect(throws: PassError.self) { try quantize(make(), options, known) }
  }

  /// What a graph holds besides Q/DQ: operators, their attributes, and what they read, by the tensors behind the pairs.
  private func skeleton(_ model: Model) -> [String] {
    func plain(_ value: Value?) -> String {
      guard var value else { return "" }
      while let node = value.producer, ["QuantizeLinear", "DequantizeLinear"].contains(node.opType),
        let source = node.input(0)
      {
        value = source
      }
      let name = value.name
      return name.hasSuffix("_quantized") ? String(name.dropLast("_quantized".count)) : name
    }
    return model.graph.nodes.filter { !["QuantizeLinear", "DequantizeLinear"].contains($0.opType) }.map { node in
      let attributes = node.attributes.map { "\($0.name)=\($0.payload)" }.joined(separator: ",")
      return "\(node.name ?? "") \(node.opType)<\(attributes)>(\(node.inputs.map(plain))) -> \(node.outputs.count)"
    }
  }

  @Test(arguments: TargetPreset.all.map(\.name)) func nothingElseIsTouched(_ target: String) throws {
    func make() -> Model {
      var builder = GraphBuilder()
      builder.input("x", [1, 16, 8, 8])
      builder.weight("w", [16, 16, 3, 3], limit: 0.2)
      builder.weight("b", [16])
      builder.constant("scale", (0..<16).map { 0.5 + Float($0) / 16 })
      builder.weight("mean", [16])
      builder.constant("variance", [Float](repeating: 1, count: 16))
      builder.node("Conv", ["x", "w", "b"], ["c"], name: "conv", [Attribute("pads", ints: [1, 1, 1, 1])])
      builder.node("BatchNormalization", ["c", "scale", "b", "mean", "variance"], ["n"], name: "norm")
      builder.node("Relu", ["n"], ["r"], name: "relu")
      builder.node("Identity", ["r"], ["i"], name: "same")
      builder.node("Conv", ["i", "w"], ["d"], name: "again", [Attribute("pads", ints: [1, 1, 1, 1])])
      builder.node("Add", ["d", "r"], ["y"], name: "sum")
      builder.output("y")
      return builder.model
    }
    var options = InsertionOptions(target: try .named(target))
    options.correctsBias = false
    options.folding = .none
    let model = make()
    let (report, _) = try quantize(model, options, try measure(make(), samples: samples(make(), count: 2)))
    #expect(report.pairs > 0)
    #expect(skeleton(model) == skeleton(make()))
    #expect(model.opset() == make().opset())
  }
}
