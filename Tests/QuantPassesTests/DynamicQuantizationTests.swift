import FloatExecution
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

struct DynamicQuantizationTests {
  private func model(_ gemm: [Attribute] = [Attribute("transB", int: 1)]) -> Model {
    var builder = GraphBuilder()
    builder.input("x", [4, 24])
    builder.weight("w1", [24, 10])
    builder.weight("w2", [24, 10])
    builder.weight("w3", [6, 10])
    builder.weight("b3", [6])
    builder.node("MatMul", ["x", "w1"], ["a"], name: "first")
    builder.node("MatMul", ["x", "w2"], ["b"], name: "second")
    builder.node("Add", ["a", "b"], ["c"])
    builder.node("Gemm", ["c", "w3", "b3"], ["y"], name: "third", gemm)
    builder.output("y", [4, 6])
    return builder.model
  }

  @Test func productsBecomeIntegerProducts() throws {
    let (reference, model) = (model(), model())
    let report = try DynamicQuantization(WeightOnlyOptions(target: .onnxRuntime)).run(on: model)
    #expect(report.nodes.filter(\.isQuantized).map(\.node) == ["first", "second", "third"])
    #expect(report.decisions.map(\.tensor) == ["w1", "w2", "w3"])
    #expect(model.opset() == 17)
    #expect(GraphVerifier.violations(in: model).isEmpty)
    // x is read twice and quantized once.
    #expect(model.graph.nodes.count { $0.opType == "DynamicQuantizeLinear" } == 2)
    #expect(model.graph.nodes.count { $0.opType == "MatMulInteger" } == 3)
    #expect(!model.graph.nodes.contains { ["MatMul", "Gemm"].contains($0.opType) })
    #expect(try sqnr(reference, model, samples(reference, count: 3)) > 30)
    #expect(try DynamicQuantization(WeightOnlyOptions(target: .onnxRuntime)).run(on: model).isUnchanged)
  }

  @Test func whatHasNoIntegerFormStaysFloat() throws {
    let model = model([Attribute("transB", int: 1), Attribute("alpha", float: 0.5)])
    let report = try DynamicQuantization(WeightOnlyOptions(target: .onnxRuntime)).run(on: model)
    #expect(report.nodes.first { $0.node == "third" }?.rule == .dynamicForm)
    #expect(model.graph.nodes.contains { $0.opType == "Gemm" })
    #expect(model.graph.initializers.contains { $0.value.name == "w3" })
  }
}
