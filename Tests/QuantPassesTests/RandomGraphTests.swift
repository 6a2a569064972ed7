import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

/// Random networks: insertion for every target leaves a sound graph that computes nearly the same, in which lint finds
/// nothing wrong for that target, and finds nothing to do a second time.
struct RandomGraphTests {
  private func build(_ seed: UInt64) -> Model {
    var builder = GraphBuilder(opset: seed % 3 == 0 ? 11 : 17, seed: seed)
    builder.input("x", [1, 8, 6, 6])
    var tensors = ["x"]
    func pick(_ builder: inout GraphBuilder) -> String {
      tensors[builder.int(max(0, tensors.count - 3)...tensors.count - 1)]
    }
    for index in 0..<builder.int(4...12) {
      let name = "t\(index)"
      let input = pick(&builder)
      switch builder.int(0...9) {
      case 0, 1, 2:
        let kernel = builder.int(0...1) * 2 + 1
        builder.weight("\(name).w", [8, 8, kernel, kernel], limit: 0.3)
        var inputs = [input, "\(name).w"]
        if builder.int(0...1) == 1 {
          builder.weight("\(name).b", [8])
          inputs.append("\(name).b")
        }
        let pad = kernel / 2
        builder.node("Conv", inputs, [name], name: "conv\(index)", [Attribute("pads", ints: [pad, pad, pad, pad])])
      case 3: builder.node("Relu", [input], [name], name: "relu\(index)")
      case 4: builder.node("Sigmoid", [input], [name])
      case 5: builder.node("Add", [input, pick(&builder)], [name], name: "add\(index)")
      case 6: builder.node("Mul", [input, pick(&builder)], [name])
      case 7:
        builder.node(
          "MaxPool", [input], [name],
          [Attribute("kernel_shape", ints: [3, 3]), Attribute("pads", ints: [1, 1, 1, 1])])
      case 8: builder.node("Transpose", [input], [name], [Attribute("perm", ints: [0, 1, 3, 2])])
      default:
        builder.weight("\(name).g", [8], limit: 1)
        builder.weight("\(name).m", [8], limit: 0.2)
        builder.constant("\(name).v", (0..<8).map { 0.5 + Float($0) / 8 })
        builder.node("BatchNormalization", [input, "\(name).g", "\(name).m", "\(name).m", "\(name).v"], [name])
      }
      tensors.append(name)
    }
    for name in tensors.dropFirst() where builder.value(name).uses.isEmpty { builder.output(name) }
    return builder.model
  }

  @Test(arguments: 1...40) func insertion(_ seed: Int) throws {
    let reference = build(UInt64(seed))
    let data = samples(reference, count: 3, seed: UInt64(seed))
    let statistics = try measure(reference, samples: data)
    for target in TargetPreset.all {
      let model = build(UInt64(seed))
      let options = InsertionOptions(target: target)
      let (report, text) = try quantize(model, options, statistics)
      #expect(GraphVerifier.violations(in: model).isEmpty, "\(target.name), seed \(seed)")
      #expect(try sqnr(reference, model, data) > 15, "\(target.name), seed \(seed)")
      // What stays float for want of a partner is a warning of the engine's rules; errors and bad Q/DQ never are.
      let findings = try Linter(target: target.name).run(on: model).findings.filter {
        $0.severity == .error || ($0.severity == .warning && $0.rule.id.hasPrefix("QDQ"))
      }
      #expect(findings.isEmpty, "\(target.name), seed \(seed): \(findings.map { "\($0.rule.id) \($0.message)" })")
      let other = build(UInt64(seed))
      #expect(try quantize(other, options, statistics).text == text, "not repeatable: \(target.name), seed \(seed)")
      let again = try QuantizationPipeline(options, statistics: statistics).run(on: model)
      #expect(
        again.isUnchanged && TextPrinter.text(model, elementLimit: 8) == text,
        "not idempotent: \(target.name), seed \(seed)")
      #expect(report.nodes.count == model.graph.nodes.count { !$0.opType.hasSuffix("izeLinear") })
    }
  }
}
