import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

struct InsertionTests {
  /// Two convolutions whose weights round with a bias: means of one sign.
  private func network(seed: UInt64 = 3) -> GraphBuilder {
    var builder = GraphBuilder(seed: seed)
    builder.input("x", [1, 16, 6, 6])
    builder.weight("w1", [16, 16, 3, 3])
    builder.node("Conv", ["x", "w1"], ["c1"], name: "conv1", [Attribute("pads", ints: [1, 1, 1, 1])])
    builder.node("Relu", ["c1"], ["r1"], name: "relu1")
    builder.weight("w2", [16, 16, 1, 1])
    builder.weight("b2", [16])
    builder.node("Conv", ["r1", "w2", "b2"], ["c2"], name: "conv2")
    builder.node("Relu", ["c2"], ["y"], name: "relu2")
    builder.output("y")
    return builder
  }

  @Test(arguments: TargetPreset.all.map(\.name))
  func staysCloseToFloat(_ target: String) throws {
    let (reference, model) = (network().model, network().model)
    let data = samples(reference, count: 8)
    let statistics = try measure(reference, samples: data)
    let (report, _) = try quantize(model, InsertionOptions(target: try .named(target)), statistics)
    #expect(!report.isUnchanged)
    #expect(report.macShare == 1)
    #expect(try sqnr(reference, model, samples(reference, count: 8, seed: 99)) > 30)
  }

  @Test func biasCorrectionTakesTheMeanShiftAway() throws {
    // Coarse weights: one large weight per channel leaves the others few steps, and inputs of one sign add the errors up.
    func make() -> Model {
      var builder = GraphBuilder(seed: 11)
      builder.input("x", [4, 32])
      var weights = (0..<32 * 16).map { _ in builder.float(0...0.05) }
      for column in 0..<16 { weights[column] = 8 }
      builder.constant("w", weights, [32, 16])
      builder.node("Gemm", ["x", "w"], ["y"], name: "gemm")
      builder.output("y")
      return builder.model
    }
    let reference = make()
    var random = SeededGenerator(seed: 5)
    let data = (0..<16).map { _ in
      ["x": Tensor((0..<128).map { $0 % 32 == 0 ? 0 : Float.random(in: 0.5...1.5, using: &random) }, shape: [4, 32])]
    }
    let statistics = try measure(reference, samples: data)
    var options = InsertionOptions(target: .onnxRuntime)
    let corrected = make()
    let (report, _) = try quantize(corrected, options, statistics)
    options.correctsBias = false
    let plain = make()
    _ = try quantize(plain, options, statistics)
    let (with, without) = (try sqnr(reference, corrected, data), try sqnr(reference, plain, data))
    #expect(with > without + 6)
    #expect(report.journal.contains { $0.rule == "Q10" && $0.action == "bias corrected" })
    #expect(plain.graph.nodes.first { $0.opType == "Gemm" }?.inputs.count == 2)
    #expect(corrected.graph.nodes.first { $0.opType == "Gemm" }?.inputs.count == 3)
  }

  @Test func deadChannelsStayDead() throws {
    func make() -> Model {
      var builder = GraphBuilder()
      builder.input("x", [2, 16])
      var weights = [Float](repeating: 0, count: 256)
      for index in weights.indices where index % 16 != 4 {
        weights[index] = index % 16 == 3 ? 1e-12 : Float(index % 7) / 7 - 0.4
      }
      builder.constant("w", weights, [16, 16])
      var biases = (0..<16).map { Float($0) / 16 }
      biases[3] = 0.75
      builder.constant("b", biases)
      builder.node("Gemm", ["x", "w", "b"], ["y"], name: "gemm")
      builder.output("y")
      return builder.model
    }
    let (reference, model) = (make(), make())
    let data = samples(reference, count: 4)
    let (report, _) = try quantize(model, InsertionOptions(target: .onnxRuntime), try measure(reference, samples: data))
    #expect(try sqnr(reference, model, data) > 30)
    // The bias of the dead channel needs its scale: s_b is that product exactly, and within 32 bits.
    let bias = try #require(report.decisions.first { $0.rule.id == "REG-P05" }?.parameters)
    let weight = try #require(report.decisions.first { $0.rule.id == "Q08" }?.parameters)
    let input = try #require(report.decisions.first { $0.tensor == "x" }?.parameters)
    #expect(bias.scales == weight.scales.map { input.scale * $0 })
    #expect(bias.scales.allSatisfy { Double(1) / Double($0) <= 2_147_483_647 })
  }

  @Test func masksStayFloat() throws {
    for huge in [Float(-3.4028235e38), -10000] {
      let signal: [Float] = (0..<64).map { Float($0) / 16 - 2 }
      var masked = signal
      var mask = [Float](repeating: 0, count: 64)
      for index in stride(from: 0, to: 64, by: 4) { (masked[index], mask[index]) = (huge, huge) }
      var statistics = statistics([
        "x": signal, "mask": mask, "scores": signal, "masked": masked, "y": signal,
      ])
      for name in statistics.tensors.keys {
        statistics.tensors[name]?.shapes = [TensorStatistics.ShapeBounds([4, 16])]
      }
      for target in TargetPreset.all {
        var copy = GraphBuilder()
        copy.input("x", [4, 16])
        copy.input("mask", [4, 16])
        copy.weight("w", [16, 16])
        copy.node("MatMul", ["x", "w"], ["scores"], name: "scores")
        copy.node("Add", ["scores", "mask"], ["masked"], name: "add")
        copy.weight("v", [16, 16])
        copy.node("MatMul", ["masked", "v"], ["y"], name: "after")
        copy.output("y")
        let (report, _) = try quantize(copy.model, InsertionOptions(target: target), statistics)
        let outcomes = Dictionary(uniqueKeysWithValues: report.nodes.map { ($0.node, $0) })
        #expect(outcomes["scores"]?.isQuantized == true)
        #expect(outcomes["after"]?.isQuantized == false)
        #expect(outcomes["after"]?.rule.id == "Q06")
        #expect(!report.decisions.contains { $0.tensor == "masked" && $0.isQuantized })
      }
    }
  }

  @Test func heavyTailsAreNoMasks() throws {
    // A tail that thins out evenly is quantized, however far it reaches.
    var builder = GraphBuilder()
    builder.input("x", [4, 16])
    builder.weight("w", [16, 16])
    builder.node("MatMul", ["x", "w"], ["y"], name: "matmul")
    builder.output("y")
    let values = (0..<4000).map { index -> Float in
      let u = Float(index + 1) / 4001
      return (index % 2 == 0 ? 1 : -1) * 0.1 / (u * u)
    }
    let (report, _) = try quantize(
      builder.model, InsertionOptions(target: .onnxRuntime), statistics(["x": values, "y": values]))
    #expect(report.nodes[0].isQuantized)
  }

  @Test func missingStatistics() throws {
    let builder = network()
    var options = InsertionOptions(target: .onnxRuntime)
    let error = #expect(throws: PassError.self) {
      try QuantizationPipeline(options, statistics: statistics(["x": [1, 2]])).run(on: builder.model)
    }
    #expect(error?.code == .noStatistics)
    options.missingData = .float
    let report = try QuantizationPipeline(options, statistics: statistics(["x": [1, 2]])).run(on: network().model)
    #expect(report.nodes.allSatisfy { !$0.isQuantized })
  }

  @Test func notANumber() throws {
    let model = network().model
    var data = evenStatistics(model)
    data.tensors["r1"]?.nans = 1
    let error = #expect(throws: PassError.self) {
      try QuantizationPipeline(InsertionOptions(target: .onnxRuntime), statistics: data).run(on: model)
    }
    #expect(error?.message.contains("'r1'") ?? false)
  }

  @Test func trainedScalesStay() throws {
    var builder = GraphBuilder()
    builder.input("x", [1, 16])
    builder.constant("s", Tensor(scalar: Float(0.125)))
    builder.constant("z", Tensor([Int8(0)], shape: []))
    builder.node("QuantizeLinear", ["x", "s", "z"], ["q"])
    builder.node("DequantizeLinear", ["q", "s", "z"], ["xd"])
    builder.weight("w", [16, 16])
    builder.node("Gemm", ["xd", "w"], ["h"], name: "gemm1")
    builder.node("Relu", ["h"], ["r"], name: "relu")
    builder.weight("w2", [16, 16])
    builder.node("Gemm", ["r", "w2"], ["y"], name: "gemm2")
    builder.node("Neg", ["x"], ["n"])
    builder.output("y")
    builder.output("n")
    let (report, _) = try quantize(builder.model, InsertionOptions(target: .onnxRuntime), evenStatistics(builder.model))
    let existing = try #require(report.decisions.first { $0.tensor == "x" })
    #expect(existing.isExisting && existing.parameters?.scale == 0.125)
    // Completed in the type it was begun in.
    #expect(report.decisions.first { $0.tensor == "r" }?.parameters?.elementType == .int8)
    #expect(builder.graph.nodes.count { $0.opType == "QuantizeLinear" } == 2)
    #expect(builder.graph.nodes.first { $0.opType == "Neg" }?.input(0)?.name == "x")
  }

  @Test func outputsKeepTheirNames() throws {
    let model = network().model
    let (report, _) = try quantize(model, InsertionOptions(target: .onnxRuntime), evenStatistics(model))
    #expect(model.graph.outputs.map(\.value.name) == ["y"])
    #expect(model.graph.outputs[0].value.producer?.opType == "DequantizeLinear")
    #expect(report.decisions.contains { $0.tensor == "y" && $0.parameters?.zeroPoint != nil })
    #expect(model.graph.initializers.contains { $0.value.name == "w1_quantized" && $0.literal.elementType == .int8 })
    #expect(!model.graph.initializers.contains { $0.value.name == "w1" })
  }

  @Test func selectors() throws {
    func run(include: [String] = [], exclude: [String] = []) throws -> Set<String> {
      let model = network().model
      var options = InsertionOptions(target: .onnxRuntime)
      options.include = try include.map { try Selector($0) }
      options.exclude = try exclude.map { try Selector($0) }
      let report = try QuantizationPipeline(options, statistics: evenStatistics(model)).run(on: model)
      return Set(report.nodes.filter(\.isQuantized).map(\.node))
    }
    #expect(try run() == ["conv1", "relu1", "conv2", "relu2"])
    #expect(try run(exclude: ["conv2"]) == ["conv1", "relu1"])
    #expect(try run(exclude: ["op:Conv"]).isEmpty)
    #expect(try run(exclude: ["tensor:r1"]).isEmpty)
    #expect(try run(include: ["node:.*1"]) == ["conv1", "relu1"])
    let error = #expect(throws: PassError.self) { try run(exclude: ["conv3"]) }
    #expect(error?.advice?.contains("'conv1'") ?? false)
    #expect(throws: PassError.self) { try Selector("(") }
  }

  @Test func aNodeThatHoldsGraphsStaysFloatAndTheGraphsDoNot() throws {
    var builder = GraphBuilder()
    builder.input("x", [1, 16])
    builder.input("flag", [], .bool)
    builder.weight("w", [16, 16])
    builder.node("MatMul", ["x", "w"], ["h"], name: "outer")
    func branch(_ name: String) -> Graph {
      let body = Graph(name: name)
      let weight = body.addInitializer(
        named: "\(name).w", Tensor([Float](repeating: 0.5, count: 256), shape: [16, 16]))
      let result = Value("\(name).y")
      body.append(Node("MatMul", name: "\(name).matmul", inputs: [builder.value("h"), weight], outputs: [result]))
      body.outputs.append(Graph.Port(result))
      return body
    }
    builder.node(
      "If", ["flag"], ["y"], name: "if",
      [Attribute("then_branch", .graph(branch("a"))), Attribute("else_branch", .graph(branch("b")))])
    builder.output("y")
    let values: [Float] = [-1, -0.5, 0.25, 2]
    let known = Dictionary(uniqueKeysWithValues: builder.model.tensorNames.values.map { ($0, values) })
    let (report, _) = try quantize(builder.model, InsertionOptions(target: .integer), statistics(known))
    #expect(GraphVerifier.violations(in: builder.model).isEmpty)
    #expect(report.nodes.filter { $0.rule.id == "Q03" }.map(\.node) == ["if"])
    let inner = report.nodes.filter { ["if/a.matmul", "if/b.matmul"].contains($0.node) }
    #expect(inner.count == 2 && inner.allSatisfy(\.isQuantized))
    #expect(report.nodes.first { $0.node == "outer" }?.isQuantized == true)
  }

  @Test func stampIsReadBack() {
    let model = network().model
    let stamp = ProvenanceStamp(
      version: "1.0", target: "integer", options: ["--method=mse", "--exclude=a"], modelHash: "ab", statisticsHash: "cd"
    )
    stamp.apply(to: model)
    #expect(ProvenanceStamp(model) == stamp)
    #expect(ProvenanceStamp(network().model) == nil)
  }
}
