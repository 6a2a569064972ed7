import FloatExecution
import ONNXGraph
import ONNXTensor
import QuantPasses
import TestSupport
import Testing

struct FoldBatchNormalizationTests {
  private static let kinds = [
    "Conv", "Conv with bias", "grouped Conv", "ConvTranspose", "grouped ConvTranspose", "Gemm", "transposed Gemm",
    "MatMul",
  ]

  private func build(_ kind: String, readElsewhere: Bool = false) -> GraphBuilder {
    var builder = GraphBuilder()
    let channels = 4
    switch kind {
    case "Gemm", "transposed Gemm", "MatMul":
      builder.input("x", [2, 6])
      builder.weight("w", kind == "transposed Gemm" ? [channels, 6] : [6, channels])
      builder.weight("b", [channels])
      if kind == "MatMul" {
        builder.node("MatMul", ["x", "w"], ["y"], name: "linear")
      } else {
        builder.node(
          "Gemm", ["x", "w", "b"], ["y"], name: "linear",
          [Attribute("beta", float: 0.5), Attribute("transB", int: kind == "Gemm" ? 0 : 1)])
      }
    default:
      let isTransposed = kind.hasSuffix("ConvTranspose")
      let groups = kind.hasPrefix("grouped") ? 2 : 1
      builder.input("x", [1, 6, 5, 5])
      builder.weight("w", isTransposed ? [6, channels / groups, 3, 3] : [channels, 6 / groups, 3, 3])
      builder.weight("b", [channels])
      builder.node(
        isTransposed ? "ConvTranspose" : "Conv", ["x", "w"] + (kind == "Conv with bias" ? ["b"] : []), ["y"],
        name: "linear",
        [Attribute("group", int: groups), Attribute("pads", ints: [1, 1, 1, 1])])
    }
    builder.constant("gamma", [1, -0.5, 2, 0])
    builder.constant("beta", [0, 1, -1, 0.25])
    builder.constant("mean", [0.5, 0, -0.25, 1])
    builder.constant("variance", [1, 0.25, 4, 0.01])
    builder.node("BatchNormalization", ["y", "gamma", "beta", "mean", "variance"], ["z"], name: "bn")
    builder.output("z")
    if readElsewhere {
      builder.node("Neg", ["y"], ["n"])
      builder.output("n")
    }
    return builder
  }

  @Test(arguments: kinds) func keepsResults(_ kind: String) throws {
    let reference = build(kind).model
    let model = build(kind).model
    // A MatMul's product is a matrix only by its declared type.
    if kind == "MatMul" { model.graph.nodes[0].outputs[0]?.type = .tensor(.float32, [2, 4]) }
    let journal = try FoldBatchNormalization().run(on: model)
    #expect(journal.map(\.rule) == ["F01"])
    #expect(!model.graph.nodes.contains { $0.opType == "BatchNormalization" })
    #expect(GraphVerifier.violations(in: model).isEmpty)
    #expect(try sqnr(reference, model, samples(reference, count: 3)) > 110)
    #expect(!model.graph.initializers.contains { ["gamma", "mean", "variance"].contains($0.value.name) })
  }

  @Test func leavesWhatIsReadElsewhere() throws {
    let model = build("Conv", readElsewhere: true).model
    #expect(try FoldBatchNormalization().run(on: model).isEmpty)
    #expect(model.graph.nodes.map(\.opType) == ["Conv", "BatchNormalization", "Neg"])
  }

  @Test func sharedWeightsAreCopied() throws {
    var builder = build("Conv")
    builder.node("Conv", ["x", "w"], ["other"])
    builder.output("other")
    let before = builder.graph.initializer(for: builder.value("w")).flatMap { try? $0.tensor().array(Float.self) }
    _ = try FoldBatchNormalization().run(on: builder.model)
    #expect(builder.graph.initializer(for: builder.value("w")).flatMap { try? $0.tensor().array(Float.self) } == before)
    #expect(builder.graph.nodes[0].input(1)?.name == "w_folded")
  }

  @Test func trainingModeStays() throws {
    let model = build("Conv").model
    model.graph.nodes[1].setAttribute(Attribute("training_mode", int: 1))
    #expect(try FoldBatchNormalization().run(on: model).isEmpty)
  }
}

struct EliminateIdentityTests {
  @Test func chainsAndDropout() throws {
    var builder = GraphBuilder()
    builder.input("x", [2])
    builder.node("Identity", ["x"], ["a"])
    builder.node("Dropout", ["a"], ["b", ""])
    builder.node("Identity", ["b"], ["c"])
    builder.node("Relu", ["c"], ["d"])
    builder.node("Identity", ["d"], ["y"])
    builder.output("y")
    let journal = try EliminateIdentity().run(on: builder.model)
    #expect(journal.count == 3)
    // The last one gives the graph's output its name.
    #expect(builder.graph.nodes.map(\.opType) == ["Relu", "Identity"])
    #expect(builder.graph.nodes[0].input(0)?.name == "x")
    #expect(GraphVerifier.violations(in: builder.model).isEmpty)
  }

  @Test func trainingDropoutStays() throws {
    var builder = GraphBuilder()
    builder.input("x", [2])
    builder.constant("ratio", Tensor(scalar: Float(0.5)))
    builder.constant("mode", Tensor([UInt8(1)], shape: [], as: .bool))
    builder.node("Dropout", ["x", "ratio", "mode"], ["b"])
    builder.node("Relu", ["b"], ["y"])
    builder.output("y")
    #expect(try EliminateIdentity().run(on: builder.model).isEmpty)
  }
}

struct FoldConstantsTests {
  @Test func weightsBehindRewriting() throws {
    func build() -> GraphBuilder {
      var builder = GraphBuilder()
      builder.input("x", [2, 6])
      builder.weight("stored", [4, 2, 3])
      builder.constant("shape", Tensor([Int64(4), -1], shape: [2]))
      builder.node("Reshape", ["stored", "shape"], ["flat"])
      builder.node("Transpose", ["flat"], ["w"], [Attribute("perm", ints: [1, 0])])
      builder.node("Constant", [], ["b"], [Attribute("value", tensor: Tensor([Float(1), 2, 3, 4], shape: [4]))])
      builder.node("Gemm", ["x", "w", "b"], ["y"])
      builder.node("Constant", [], ["unrelated"], [Attribute("value_float", float: 2)])
      builder.node("Mul", ["y", "unrelated"], ["z"])
      builder.output("z")
      return builder
    }
    let (reference, model) = (build().model, build().model)
    _ = try FoldConstants().run(on: model)
    // Only what feeds weighted operators is folded, and what they came from is gone.
    #expect(model.graph.nodes.map(\.opType) == ["Gemm", "Constant", "Mul"])
    #expect(model.graph.initializers.map(\.value.name).sorted() == ["b", "w"])
    #expect(try sqnr(reference, model, samples(reference, count: 2)) == .infinity)
  }
}
