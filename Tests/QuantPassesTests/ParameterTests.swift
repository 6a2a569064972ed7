import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

/// Every kind of grid in a whole model: what is written, and that it runs close to float.
struct ParameterTests {
  private func network() -> Model {
    var builder = GraphBuilder(seed: 41)
    builder.input("x", [1, 16, 6, 6])
    builder.weight("w1", [16, 16, 3, 3])
    builder.node("Conv", ["x", "w1"], ["c"], name: "conv1", [Attribute("pads", ints: [1, 1, 1, 1])])
    builder.node("Relu", ["c"], ["r"], name: "relu")
    builder.node("Flatten", ["r"], ["f"], name: "flatten")
    builder.weight("w2", [576, 32])
    builder.node("MatMul", ["f", "w2"], ["y"], name: "product")
    builder.output("y")
    return builder.model
  }

  private func insert(_ change: (inout InsertionOptions) -> Void) throws -> (report: InsertionReport, model: Model) {
    let model = network()
    var options = InsertionOptions(target: .tensorRT)
    options.rescueBudget = nil
    options.target.needsTensorCoreShapes = false
    change(&options)
    let statistics = try measure(model, samples: samples(model, count: 4))
    let report = try quantize(model, options, statistics).report
    #expect(try quantize(model, options, statistics).report.isUnchanged)
    return (report, model)
  }

  @Test(arguments: [
    (ElementType.int8, 25.0), (.uint8, 25), (.int16, 25), (.uint16, 25), (.float8E4M3FN, 20), (.float8E5M2, 15),
  ])
  func activations(_ type: ElementType, _ least: Double) throws {
    let (report, model) = try insert {
      $0.target.activations.elementType = type
      $0.target.lowestOpset = 21
    }
    let pairs = model.graph.nodes.filter { $0.opType == "QuantizeLinear" }
    #expect(!pairs.isEmpty)
    for pair in pairs {
      let zeroPoint = try #require(pair.input(2).flatMap { model.graph.initializer(for: $0) }).tensor()
      #expect(zeroPoint.elementType == type)
    }
    #expect(report.decisions.contains { $0.parameters?.elementType == type })
    #expect(try sqnr(network(), model, samples(model, count: 2)) > least)
  }

  @Test(arguments: [
    (ElementType.int8, 30.0), (.uint8, 30), (.int16, 30), (.int4, 12), (.uint4, 12), (.int2, -6), (.uint2, -6),
    (.float8E4M3FN, 20), (.float8E5M2, 15),
  ])
  func weights(_ type: ElementType, _ least: Double) throws {
    let (report, model) = try insert {
      $0.target.weights.elementType = type
      $0.target.lowestOpset = type.bitWidth == 2 ? 25 : 21
    }
    let weights = report.decisions.filter { $0.method == "weights" }
    #expect(weights.count == 2)
    for weight in weights { #expect(weight.parameters?.elementType == type && weight.parameters?.axis != nil) }
    #expect(try sqnr(network(), model, samples(model, count: 2)) > least)
  }

  @Test func blocksLieAlongTheSum() throws {
    let (report, model) = try insert {
      $0.target.weights.elementType = .int4
      $0.target.blockSize = 32
      $0.target.lowestOpset = 21
    }
    let decision = try #require(report.decisions.first { $0.tensor == "w2" })
    #expect(decision.blockSize == 32)
    let node = try #require(model.graph.nodes.first { $0.name == "w2_DequantizeLinear" })
    #expect(node.int("block_size") == 32 && node.int("axis") == 0)
    #expect(node.input(1)?.type?.staticShape == [18, 32])
    // A convolution has one scale per channel all the same.
    #expect(report.decisions.first { $0.tensor == "w1" }?.parameters?.axis == 0)
    #expect(try sqnr(network(), model, samples(model, count: 2)) > 12)
  }

  @Test func floatGridsCoverTheRange() throws {
    for (type, largest) in [(ElementType.float8E4M3FN, Float(448)), (.float8E5M2, 57344)] {
      let scheme = QuantizationScheme(type, symmetric: true)
      let grid = try scheme.parameters(for: ValueRange(-3, 2))
      #expect(grid.zeroPoint == 0 && grid.scale == 3 / largest)
      let codes = try grid.quantize(Tensor([-3, 0, 2, 9, 0.001], shape: [5] as [Int]))
      let values = try grid.dequantize(codes).array(Float.self)
      #expect(values[0] == -largest * grid.scale && values[1] == 0 && values[3] == largest * grid.scale)
      #expect(abs(values[2] - 2) < 0.3)
      var wide = scheme
      wide.isPowerOfTwo = true
      #expect(try wide.parameters(for: ValueRange(-3, 2)).scale.significand == 1)
    }
  }

  @Test func powersOfTwoAndReducedRanges() throws {
    let (report, _) = try insert {
      $0.target.activations.isPowerOfTwo = true
      $0.target.weights.isPowerOfTwo = true
      $0.target.weights.isReduced = true
    }
    for decision in report.decisions {
      for scale in decision.parameters?.scales ?? [] { #expect(scale.significand == 1) }
    }
  }

  // MARK: Selection

  private func floatNodes(excluding selector: String) throws -> [String] {
    let (report, _) = try insert { $0.exclude = [try! Selector(selector)] }
    return report.nodes.filter { $0.rule == .selected }.map(\.node)
  }

  @Test func nodesBetweenTwoTensorsAndInAScope() throws {
    #expect(try floatNodes(excluding: "between:c->f") == ["relu", "flatten"])
    #expect(try floatNodes(excluding: "between:x->y").count == 4)
    #expect(try floatNodes(excluding: "scope:conv1") == ["conv1"])
  }

  @Test(arguments: ["between:y->x", "between:c->nowhere", "scope:absent", "between:c"])
  func whatMatchesNothingIsAnError(_ selector: String) {
    #expect(throws: PassError.self) {
      let model = network()
      var options = InsertionOptions(target: .tensorRT)
      options.exclude = [try Selector(selector)]
      _ = try quantize(model, options, evenStatistics(model))
    }
  }

  // MARK: Wide activations

  /// A chain of convolutions; one channel drowns the others in the middle.
  private func drowning() -> Model {
    var builder = GraphBuilder(seed: 43)
    builder.input("x", [1, 16, 6, 6])
    var weights = (0..<16 * 16).map { _ in builder.float(-0.3...0.3) }
    for index in 0..<16 { weights[index] *= 400 }
    builder.weight("w0", [16, 16, 3, 3])
    builder.node("Conv", ["x", "w0"], ["a"], name: "conv0", [Attribute("pads", ints: [1, 1, 1, 1])])
    builder.constant("w1", weights, [16, 16, 1, 1])
    builder.node("Conv", ["a", "w1"], ["b"], name: "conv1")
    builder.weight("w2", [16, 16, 1, 1])
    builder.node("Conv", ["b", "w2"], ["c"], name: "conv2")
    builder.weight("w3", [16, 16, 3, 3])
    builder.node("Conv", ["c", "w3"], ["y"], name: "conv3", [Attribute("pads", ints: [1, 1, 1, 1])])
    builder.output("y")
    return builder.model
  }

  @Test func whatEightBitsDrownGetsSixteen() throws {
    func insert(_ budget: Double?) throws -> (report: InsertionReport, model: Model, second: Bool) {
      let model = drowning()
      let statistics = try measure(model, samples: samples(model, count: 4))
      var options = InsertionOptions(target: .qnn)
      options.target.lowestOpset = 21
      options.rescueBudget = budget
      let report = try quantize(model, options, statistics).report
      return (report, model, try quantize(model, options, statistics).report.isUnchanged)
    }
    let (report, model, isUnchanged) = try insert(0.2)
    #expect(isUnchanged)
    let wide = report.decisions.filter { $0.rule == .rescued }
    #expect(wide.map(\.tensor) == ["b"] && wide.first?.parameters?.elementType == .uint16)
    #expect(wide.first?.reason.contains("on 16 bits so far") ?? false)
    #expect(report.macShare == 1)
    // The kernels on both sides have one type for all they read and write; others keep theirs.
    func type(of value: Value?) throws -> ElementType? {
      let zero = value?.producer?.input(2).flatMap { model.graph.initializer(for: $0) }
      return try zero?.tensor().elementType
    }
    for (name, expected) in [("conv0", ElementType.uint8), ("conv1", .uint16), ("conv2", .uint16), ("conv3", .uint8)] {
      let node = try #require(model.graph.nodes.first { $0.name == name })
      #expect(try type(of: node.input(0)) == expected, "\(name)")
    }
    #expect(
      try sqnr(drowning(), model, samples(model, count: 2))
        > sqnr(drowning(), insert(nil).model, samples(model, count: 2)))
    #expect(try insert(0.01).report.decisions.allSatisfy { $0.rule != .rescued })
  }
}
