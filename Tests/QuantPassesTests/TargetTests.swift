import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

/// What each target's data makes of a model, and that it does not do so elsewhere.
struct TargetTests {
  private func gemm(columns: Int, rows: Int = 4) -> GraphBuilder {
    var builder = GraphBuilder()
    builder.input("x", [rows, 16])
    builder.weight("w", [16, columns])
    builder.node("Gemm", ["x", "w"], ["y"], name: "small")
    builder.output("y")
    return builder
  }

  private func outcomes(_ model: Model, _ options: InsertionOptions) throws -> [String: NodeOutcome] {
    var statistics = evenStatistics(model)
    for name in statistics.tensors.keys {
      statistics.tensors[name]?.shapes = [TensorStatistics.ShapeBounds([4, 16])]
    }
    let (report, _) = try quantize(model, options, statistics)
    return Dictionary(uniqueKeysWithValues: report.nodes.map { ($0.node, $0) })
  }

  @Test func smallOperatorsStayFloatBesideLargeOnesOnly() throws {
    let options = InsertionOptions(target: .tensorRT)
    let alone = try outcomes(gemm(columns: 4).model, options)
    #expect(alone["small"]?.isQuantized == true)
    #expect(alone["small"]?.rule.id == "TRT-P12")
    #expect(alone["small"]?.reason.contains("as are all others") ?? false)

    func both() -> Model {
      var builder = gemm(columns: 4)
      builder.weight("v", [16, 32])
      builder.node("Gemm", ["x", "v"], ["z"], name: "large")
      builder.output("z")
      return builder.model
    }
    let beside = try outcomes(both(), options)
    #expect(beside["small"]?.isQuantized == false && beside["small"]?.rule.id == "TRT-P12")
    #expect(beside["large"]?.isQuantized == true && beside["large"]?.rule.id == "TRT-P01")

    var asked = options
    asked.include = [try Selector("node:small")]
    #expect(try outcomes(both(), asked)["small"]?.isQuantized == true)
    #expect(try outcomes(both(), InsertionOptions(target: .tensorRTDLA))["small"]?.rule.id == "INT-P01")
    #expect(try outcomes(both(), InsertionOptions(target: .openVINO))["small"]?.rule.id == "OV-P01")
  }

  @Test(arguments: TargetPreset.all.map(\.name)) func biasesFitTheAccumulator(_ target: String) throws {
    // Weights of 1e-12 beside a bias of 0.75: no scale of theirs would leave the bias within 32 bits.
    var builder = GraphBuilder()
    builder.input("x", [2, 16])
    builder.constant("w", (0..<512).map { $0 % 32 == 3 ? 1e-12 : Float($0 % 7) / 7 - 0.4 }, [16, 32])
    builder.constant("b", (0..<32).map { $0 == 3 ? 0.75 : Float($0) / 32 })
    builder.node("Gemm", ["x", "w", "b"], ["y"], name: "gemm")
    builder.output("y")
    let (report, _) = try quantize(
      builder.model, InsertionOptions(target: try .named(target)), evenStatistics(builder.model))
    let input = try #require(report.decisions.first { $0.tensor == "x" }?.parameters)
    let weight = try #require(report.decisions.first { $0.tensor == "w" }?.parameters)
    let scale = weight.scales[weight.scales.count == 1 ? 0 : 3]
    #expect(0.75 / (Double(input.scale) * Double(scale)) < 2_147_483_647)
  }

  @Test func sevenBitsWithoutVNNI() throws {
    for (target, limit) in [(TargetPreset.onnxRuntimeAVX2, 64), (.onnxRuntime, 127)] {
      let model = gemm(columns: 32).model
      let (report, _) = try quantize(model, InsertionOptions(target: target), evenStatistics(model))
      let codes = try #require(model.graph.initializers.first { $0.value.name == "w_quantized" }).literal.tensor()
      #expect(codes.integers?.map { abs($0) }.max() == limit)
      #expect(report.decisions.contains { $0.rule.id == "Q14" } == (limit == 64))
    }
  }

  @Test func armTakesSignedActivations() throws {
    for (target, type) in [(TargetPreset.onnxRuntimeARM64, ElementType.int8), (.onnxRuntime, .uint8)] {
      let model = gemm(columns: 32).model
      let (report, _) = try quantize(model, InsertionOptions(target: target), evenStatistics(model))
      #expect(report.decisions.first { $0.tensor == "x" }?.parameters?.elementType == type)
    }
  }

  @Test func qnnHasScalesOfItsOwn() throws {
    func make() -> Model {
      var builder = gemm(columns: 32)
      builder.node("Sigmoid", ["y"], ["s"], name: "sigmoid")
      builder.node("Tanh", ["s"], ["t"], name: "tanh")
      builder.output("t")
      return builder.model
    }
    let model = make()
    let (report, _) = try quantize(model, InsertionOptions(target: .qnn), evenStatistics(model))
    func parameters(_ tensor: String) -> QuantizationParameters? {
      report.decisions.first { $0.tensor == tensor }?.parameters
    }
    #expect(parameters("s") == QuantizationParameters(elementType: .uint8, scale: 1.0 / 256, zeroPoint: 0))
    #expect(parameters("t") == QuantizationParameters(elementType: .uint8, scale: 1.0 / 128, zeroPoint: 128))
    #expect(parameters("w")?.axis == nil)
    let narrow = make()
    let (tiny, _) = try quantize(
      narrow, InsertionOptions(target: .qnn), evenStatistics(narrow, [0, 1e-9]))
    #expect(tiny.decisions.first { $0.tensor == "x" }?.parameters?.scale == Float(1e-4 / 255))
  }

  @Test func productsOfActivations() throws {
    func make() -> Model {
      var builder = GraphBuilder()
      builder.input("a", [4, 16])
      builder.input("b", [16, 16])
      builder.node("MatMul", ["a", "b"], ["y"], name: "product")
      builder.output("y")
      return builder.model
    }
    #expect(try outcomes(make(), InsertionOptions(target: .openVINO))["product"]?.isQuantized == true)
    let other = try outcomes(make(), InsertionOptions(target: .tensorRT))["product"]
    #expect(other?.isQuantized == false && other?.rule.id == "TRT-P11")
  }

  /// x (reaches below 0) times y, and the transposed convolution of x.
  private func centered() -> GraphBuilder {
    var builder = GraphBuilder()
    builder.input("x", [1, 8, 4, 4])
    builder.input("y", [1, 8, 4, 4])
    builder.node("MatMul", ["x", "y"], ["product"], name: "product")
    builder.weight("w", [8, 8, 2, 2])
    builder.node("ConvTranspose", ["product", "w"], ["z"], name: "transposed")
    builder.output("z")
    return builder
  }

  @Test func openVINOTakesNoZeroPointsInProducts() throws {
    func parameters(_ target: TargetPreset, x: [Float]) throws -> [String: QuantizationParameters] {
      let model = centered().model
      let statistics = evenStatistics(model, x)
      let report = try QuantizationPipeline(InsertionOptions(target: target), statistics: statistics).run(on: model)
      return Dictionary(
        report.decisions.compactMap { decision in decision.parameters.map { (decision.tensor, $0) } },
        uniquingKeysWith: { first, _ in first })
    }
    for (name, found) in try parameters(.openVINO, x: [-1, 3]) where ["x", "y", "product"].contains(name) {
      #expect(found.elementType == .int8 && found.zeroPoint == 0, "\(name)")
    }
    // Where nothing is negative only the second factor gives up a bit.
    let positive = try parameters(.openVINO, x: [0, 3])
    #expect(positive["x"]?.elementType == .uint8 && positive["x"]?.zeroPoint == 0)
    #expect(positive["y"]?.elementType == .int8 && positive["y"]?.zeroPoint == 0)
    #expect(positive["product"]?.elementType == .uint8)
    #expect(try parameters(.onnxRuntime, x: [-1, 3])["x"]?.elementType == .uint8)
  }

  @Test func openVINOHasNoScaleOfOne() throws {
    let scale = { (target: TargetPreset) throws -> Float? in
      let model = self.gemm(columns: 16).model
      let report = try QuantizationPipeline(
        InsertionOptions(target: target), statistics: evenStatistics(model, [0, 255])
      ).run(on: model)
      return report.decisions.first { $0.tensor == "x" }?.parameters?.scale
    }
    #expect(try scale(.openVINO) == Float(1).nextUp)
    #expect(try scale(.onnxRuntime) == 1)
  }

  @Test func overrides() throws {
    var options = InsertionOptions(target: .onnxRuntime)
    var entry = TensorOverride(try Selector("tensor:x"))
    var change = SchemeChange()
    change.elementType = .int8
    change.isSymmetric = true
    change.isPowerOfTwo = true
    entry.activations = change
    entry.range = ValueRange(-3, 1)
    var weights = TensorOverride(try Selector("node:small"))
    weights.isPerChannel = false
    options.overrides = [entry, weights]
    let model = gemm(columns: 32).model
    let (report, _) = try quantize(model, options, evenStatistics(model))
    let x = try #require(report.decisions.first { $0.tensor == "x" })
    #expect(x.parameters == QuantizationParameters(elementType: .int8, scale: 1.0 / 32, zeroPoint: 0))
    #expect(x.rule.id == "Q15" && x.method == "given" && x.range == ValueRange(-3, 1))
    #expect(report.decisions.first { $0.tensor == "w" }?.parameters?.axis == nil)

    var float = TensorOverride(try Selector("node:small"))
    float.isFloat = true
    options.overrides = [float]
    #expect(try outcomes(gemm(columns: 32).model, options)["small"]?.rule.id == "Q07")
    options.overrides = [TensorOverride(try Selector("tensor:nothing"))]
    #expect(throws: PassError.self) { try outcomes(gemm(columns: 32).model, options) }
  }

  @Test func overridesOfOneScaleMustAgree() throws {
    func make() -> Model {
      var builder = gemm(columns: 32)
      builder.node("Transpose", ["y"], ["t"], name: "transpose", [Attribute("perm", ints: [1, 0])])
      builder.weight("v", [4, 16])
      builder.node("Gemm", ["t", "v"], ["z"], name: "second")
      builder.output("z")
      return builder.model
    }
    var options = InsertionOptions(target: .integer)
    options.overrides = try [("tensor:y", ElementType.int8), ("tensor:t", .uint8)].map { name, type in
      var entry = TensorOverride(try Selector(name))
      var change = SchemeChange()
      change.elementType = type
      entry.activations = change
      return entry
    }
    let error = #expect(throws: PassError.self) { try outcomes(make(), options) }
    #expect(error?.message.contains("must share one scale") ?? false)
  }
}
