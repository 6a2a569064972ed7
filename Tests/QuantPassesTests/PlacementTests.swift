import FoundationEssentials
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

/// One small graph for each pattern, quantized for each target, against golden texts.
struct PlacementTests {
  struct Pattern: Sendable, CustomTestStringConvertible {
    let name: String
    let build: @Sendable (inout GraphBuilder) -> Void
    var testDescription: String { name }
  }

  private static func convolution(
    _ builder: inout GraphBuilder, _ input: String, _ output: String, channels: Int = 16, from inputs: Int = 16,
    kernel: Int = 1
  ) {
    builder.weight("\(output).w", [channels, inputs, kernel, kernel])
    builder.weight("\(output).b", [channels])
    let pad = kernel / 2
    builder.node(
      "Conv", [input, "\(output).w", "\(output).b"], [output], name: "conv.\(output)",
      [Attribute("pads", ints: [pad, pad, pad, pad])])
  }

  static let patterns: [Pattern] = [
    Pattern(name: "residual") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1", kernel: 3)
      builder.node("Relu", ["c1"], ["r1"], name: "relu1")
      convolution(&builder, "r1", "c2", kernel: 3)
      builder.node("Add", ["c2", "r1"], ["a"], name: "add")
      builder.node("Relu", ["a"], ["r2"], name: "relu2")
      convolution(&builder, "r2", "y", kernel: 3)
      builder.output("y")
    },
    Pattern(name: "silu") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.node("Sigmoid", ["c1"], ["s"], name: "sigmoid")
      builder.node("Mul", ["c1", "s"], ["m"], name: "mul")
      convolution(&builder, "m", "y")
      builder.output("y")
    },
    Pattern(name: "pad") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.constant("low", Tensor(scalar: Float(0)))
      builder.constant("high", Tensor(scalar: Float(6)))
      builder.node("Clip", ["c1", "low", "high"], ["r"], name: "clip")
      builder.constant("pads", Tensor([Int64(0), 0, 0, 0, 0, 0, 1, 1], shape: [8]))
      builder.node("Pad", ["r", "pads"], ["p"], name: "pad")
      convolution(&builder, "p", "y")
      builder.output("y")
    },
    Pattern(name: "concat") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      convolution(&builder, "x", "c2")
      builder.node("MaxPool", ["c1"], ["p"], name: "pool", [Attribute("kernel_shape", ints: [1, 1])])
      builder.node("Concat", ["p", "c2"], ["k"], name: "concat", [Attribute("axis", int: 1)])
      convolution(&builder, "k", "y", from: 32)
      convolution(&builder, "c2", "z")
      builder.output("y")
      builder.output("z")
    },
    Pattern(name: "pool") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.node("GlobalAveragePool", ["c1"], ["p"], name: "gap")
      convolution(&builder, "p", "c2")
      builder.node("GlobalAveragePool", ["c2"], ["q"], name: "last")
      builder.node("Flatten", ["q"], ["y"], name: "flatten")
      builder.output("y")
    },
    Pattern(name: "attention") { builder in
      builder.input("x", [-1, 8, 16])
      for name in ["q", "k"] {
        builder.weight("\(name).w", [16, 16])
        builder.weight("\(name).b", [16])
        builder.node("MatMul", ["x", "\(name).w"], ["\(name)m"], name: "matmul.\(name)")
        builder.node("Add", ["\(name)m", "\(name).b"], [name], name: "bias.\(name)")
      }
      builder.node("Transpose", ["k"], ["kt"], name: "transpose", [Attribute("perm", ints: [0, 2, 1])])
      builder.node("MatMul", ["q", "kt"], ["scores"], name: "scores")
      builder.input("mask", [-1, 1, 8])
      builder.node("Add", ["scores", "mask"], ["masked"], name: "mask")
      builder.node("Softmax", ["masked"], ["p"], name: "softmax", [Attribute("axis", int: -1)])
      builder.node("MatMul", ["p", "x"], ["y"], name: "values")
      builder.output("y")
    },
    Pattern(name: "small-and-shared") { builder in
      builder.input("x", [1, 3, 4, 4])
      convolution(&builder, "x", "c1", channels: 8, from: 3)
      convolution(&builder, "c1", "c2", channels: 8, from: 8)
      builder.weight("shared", [8, 8, 1, 1])
      builder.node("Conv", ["c2", "shared"], ["c3"], name: "first")
      builder.node("Conv", ["c3", "shared"], ["c4"], name: "second")
      builder.node("Flatten", ["c4"], ["f"], name: "flatten")
      builder.weight("g.w", [128, 20])
      builder.node("Gemm", ["f", "g.w"], ["y"], name: "gemm")
      builder.output("y")
    },
    Pattern(name: "fan-out") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.node("Relu", ["c1"], ["r"], name: "relu")
      convolution(&builder, "r", "y")
      convolution(&builder, "r", "z", kernel: 3)
      builder.node("Tanh", ["r"], ["t"], name: "tanh")
      for name in ["y", "z", "t"] { builder.output(name) }
    },
    Pattern(name: "gemv") { builder in
      builder.input("x", [1, 64])
      builder.input("rows", [8, 64])
      builder.weight("g.w", [64, 32])
      builder.weight("h.w", [64, 32])
      builder.node("Gemm", ["x", "g.w"], ["y"], name: "one.row")
      builder.node("Gemm", ["rows", "h.w"], ["z"], name: "eight.rows")
      builder.output("y", [1, 32])
      builder.output("z", [8, 32])
    },
    Pattern(name: "heads") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.node("Relu", ["c1"], ["r"], name: "relu")
      convolution(&builder, "r", "boxes")
      convolution(&builder, "r", "scores")
      builder.node("Sigmoid", ["scores"], ["probabilities"], name: "sigmoid")
      builder.node("Concat", ["boxes", "probabilities"], ["all"], name: "concat", [Attribute("axis", int: 1)])
      builder.constant("shape", Tensor([Int64(1), 32, 16], shape: [3]))
      builder.node("Reshape", ["all", "shape"], ["y"], name: "reshape")
      builder.node("ArgMax", ["r"], ["best"], name: "argmax", [Attribute("axis", int: 1)])
      builder.output("y")
      builder.output("best", nil, .int64)
    },
    Pattern(name: "transposed") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.weight("up.w", [16, 16, 2, 2])
      builder.node("ConvTranspose", ["c1", "up.w"], ["up"], name: "up", [Attribute("strides", ints: [2, 2])])
      convolution(&builder, "up", "y")
      builder.output("y")
    },
    Pattern(name: "unknown") { builder in
      builder.input("x", [1, 16, 4, 4])
      convolution(&builder, "x", "c1")
      builder.model.opsetImports.append(OpsetImport(domain: "com.example", version: 1))
      builder.node("Plugin", ["c1", "", "x"], ["u", ""]).domain = "com.example"
      convolution(&builder, "u", "y")
      builder.output("y")
    },
  ]

  @Test(arguments: patterns, TargetPreset.all.map(\.name))
  func golden(_ pattern: Pattern, _ target: String) throws {
    func make() -> Model {
      var builder = GraphBuilder()
      pattern.build(&builder)
      return builder.model
    }
    let model = make()
    let options = InsertionOptions(target: try .named(target))
    let statistics = evenStatistics(model)
    let (report, _) = try quantize(model, options, statistics)
    let text = TextPrinter.text(model, elementLimit: 1)
    #expect(GraphVerifier.violations(in: model).isEmpty)
    let explained = report.nodes.map {
      "# \($0.isQuantized ? "int8 " : "float") \($0.node): \($0.rule.id) \($0.reason)\n"
    }.joined()
    #expect(try Golden.difference(text + explained, "placement-\(pattern.name)-\(target)") == nil)
    // A second run finds nothing to do.
    let again = try QuantizationPipeline(options, statistics: statistics).run(on: model)
    #expect(again.isUnchanged)
    #expect(again.pairs == 0)
    #expect(TextPrinter.text(model, elementLimit: 1) == text)
  }

  @Test func everyRuleIsDocumented() throws {
    let page = try String(contentsOfFile: "\(TestFiles.root)/docs/placement.md", encoding: .utf8)
    for rule in PlacementRule.all { #expect(page.contains("| \(rule.id) | \(rule.sentence) |")) }
    #expect(Set(PlacementRule.all.map(\.id)).count == PlacementRule.all.count)
  }
}
