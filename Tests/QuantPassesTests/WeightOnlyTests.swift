import FloatExecution
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

struct WeightOnlyTests {
  private func options(
    _ type: ElementType = .int4, block: Int? = 8, _ change: (inout WeightOnlyOptions) throws -> Void = { _ in }
  ) rethrows -> WeightOnlyOptions {
    var options = WeightOnlyOptions(target: .tensorRT)
    options.elementType = type
    options.blockSize = block
    try change(&options)
    return options
  }

  private func model(opset: Int = 17, irVersion: Int = 8) -> Model {
    var builder = GraphBuilder(opset: opset, irVersion: irVersion)
    builder.input("x", [2, 24])
    builder.weight("w1", [24, 10])
    builder.weight("w2", [6, 10])
    builder.weight("b2", [6])
    builder.weight("w3", [12, 6])
    builder.node("MatMul", ["x", "w1"], ["a"], name: "first")
    builder.node("Gemm", ["a", "w2", "b2"], ["b"], name: "second", [Attribute("transB", int: 1)])
    builder.node("Transpose", ["w3"], ["w3t"], [Attribute("perm", ints: [1, 0])])
    builder.node("MatMul", ["b", "w3t"], ["c"], name: "third")
    builder.node("ReduceMean", ["c"], ["y"], [Attribute("axes", ints: [1])])
    builder.output("y", [2, 1])
    return builder.model
  }

  @Test(arguments: [ElementType.int4, .uint4, .int8, .uint8], [nil, 4, 8, 32])
  func allWeightsAreStoredAndTheRestIsAsItWas(type: ElementType, block: Int?) throws {
    let (reference, model) = (model(), model())
    let report = try WeightOnly(options(type, block: block)).run(on: model)
    #expect(!report.isUnchanged)
    #expect(report.decisions.map(\.tensor) == ["w1", "w2", "w3"])
    #expect(report.decisions.map(\.axis) == (block == nil ? [1, 0, 0] : [0, 1, 1]))
    #expect(report.nodes.allSatisfy(\.isQuantized) && report.nodes.count == 3)
    #expect(model.opset() == (type.bitWidth == 8 && block == nil ? 17 : 21))
    #expect(GraphVerifier.violations(in: model).isEmpty)
    let types = model.graph.nodes.map(\.opType).filter { $0 != "DequantizeLinear" }
    #expect(types == reference.graph.nodes.map(\.opType))
    for name in ["w1", "w2", "w3"] { #expect(!model.graph.initializers.contains { $0.value.name == name }) }
    let quality = try sqnr(reference, model, samples(reference, count: 3))
    #expect(quality > (type.bitWidth == 4 ? 8 : 30), "\(quality)")
  }

  @Test func aSecondRunFindsNothing() throws {
    let model = model()
    _ = try WeightOnly(options()).run(on: model)
    let before = TextPrinter.text(model)
    let report = try WeightOnly(options(.int8, block: nil)).run(on: model)
    #expect(report.isUnchanged)
    #expect(report.nodes.allSatisfy { $0.isQuantized && $0.rule == .storedAlready })
    #expect(TextPrinter.text(model) == before)
  }

  @Test func selectorsChoose() throws {
    let model = model()
    let report = try WeightOnly(options { $0.exclude = [try Selector("node:second")] }).run(on: model)
    #expect(report.decisions.map(\.tensor) == ["w1", "w3"])
    #expect(report.nodes.first { $0.node == "second" }?.rule == .selected)
    let other = self.model()
    #expect(
      try WeightOnly(options { $0.include = [try Selector("tensor:w3")] }).run(on: other).decisions.map(\.tensor)
        == ["w3"])
    #expect(throws: PassError.self) {
      try WeightOnly(options { $0.exclude = [try Selector("node:nobody")] }).run(on: self.model())
    }
  }

  @Test func sharedAndTiedWeightsAreStoredOnce() throws {
    var builder = GraphBuilder()
    builder.input("ids", [3], .int64)
    builder.weight("table", [16, 8])
    builder.node("Gather", ["table", "ids"], ["a"])
    builder.node("Transpose", ["table"], ["turned"])
    builder.node("MatMul", ["a", "turned"], ["y"])
    builder.output("y", [3, 16])
    let model = builder.model
    let report = try WeightOnly(options { $0.includesEmbeddings = true }).run(on: model)
    #expect(report.decisions.count == 1)
    #expect(model.graph.nodes.count { $0.opType == "DequantizeLinear" } == 1)
    #expect(!model.graph.initializers.contains { $0.value.name == "table" })
  }

  @Test func aFloatWeightThatOthersReadStays() throws {
    var builder = GraphBuilder()
    builder.input("x", [2, 8])
    builder.weight("w", [8, 8])
    builder.node("MatMul", ["x", "w"], ["a"])
    builder.node("Add", ["a", "w"], ["y"], name: "reader")
    builder.output("y", [8, 8])
    let report = try WeightOnly(options()).run(on: builder.model)
    #expect(builder.model.graph.initializers.contains { $0.value.name == "w" })
    #expect(report.journal.contains { $0.rule == "WGT-P06" && $0.action.contains("reader") })
  }

  @Test func notANumberIsAnErrorOrStays() throws {
    func make() -> Model {
      var builder = GraphBuilder()
      builder.input("x", [1, 4])
      builder.constant("w", [1, 2, .nan, 4, 5, 6, 7, 8], [4, 2])
      builder.node("MatMul", ["x", "w"], ["y"])
      builder.output("y", [1, 2])
      return builder.model
    }
    #expect(throws: PassError.self) { try WeightOnly(options()).run(on: make()) }
    let report = try WeightOnly(options { $0.missingData = .float }).run(on: make())
    #expect(report.nodes.first?.rule == .nonFiniteWeight && report.nodes.first?.isQuantized == false)
  }

  @Test func halfWeightsStayHalf() throws {
    for type in [ElementType.float16, .bfloat16] {
      var builder = GraphBuilder()
      builder.input("x", [1, 4], type)
      let values = (0..<8).map { Float($0) / 4 - 1 }
      builder.constant(
        "w",
        type == .float16
          ? Tensor(values.map { Float16($0) }, shape: [4, 2]) : Tensor(values.map { BFloat16($0) }, shape: [4, 2]))
      builder.node("MatMul", ["x", "w"], ["y"])
      builder.output("y", [1, 2], type)
      _ = try WeightOnly(options(.int8, block: nil)).run(on: builder.model)
      #expect(builder.model.opset() == 19)
      let scale = builder.model.graph.initializers.first { $0.value.name == "w_scale" }
      #expect(scale?.literal.elementType == type)
    }
  }

  /// What changed its form after opset 13 computes what it computed before, to the bit.
  @Test func operatorsAreConvertedOnTheWayToOpset21() throws {
    func make() -> Model {
      var builder = GraphBuilder(opset: 13, irVersion: 7)
      builder.input("x", [2, 6])
      builder.node("ReduceMax", ["x"], ["a"], [Attribute("axes", ints: [1]), Attribute("keepdims", int: 1)])
      builder.node("ReduceMean", ["x"], ["m"])
      builder.node("Split", ["x"], ["b", "c"], [Attribute("axis", int: 1)])
      builder.node("Mul", ["b", "c"], ["d"])
      builder.node("Add", ["d", "a"], ["e"])
      builder.node("Add", ["e", "m"], ["y"])
      builder.output("y", [2, 3])
      return builder.model
    }
    let (reference, model) = (make(), make())
    let journal = try RaiseOpset(to: 21).run(on: model)
    #expect(journal.count == 3)
    #expect(model.opset() == 21 && model.irVersion == 10)
    #expect(try sqnr(reference, model, samples(reference, count: 2)) == .infinity)
    #expect(try RaiseOpset(to: 21).run(on: model).isEmpty)
  }
}
