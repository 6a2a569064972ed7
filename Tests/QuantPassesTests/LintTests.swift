import ONNXGraph
import ONNXTensor
import QuantPasses
import Testing

/// x → Q → DQ → Conv (int8 weight behind DQ) → Relu → Q → DQ → y.
private func convolution(
  type: ElementType = .uint8, zeroPoint: UInt8 = 0, outputZeroPoint: UInt8 = 0, scale: Float = 0.1,
  secondPair: Bool = false
) -> Model {
  let graph = Graph(name: "g")
  let x = Value("x", type: .tensor(.float32, [1, 1, 4, 4]))
  let y = Value("y", type: .tensor(.float32, [1, 1, 4, 4]))
  func parameters(_ name: String, _ point: UInt8) -> [Value] {
    [
      graph.addInitializer(named: name + "_scale", Tensor(scalar: scale)),
      graph.addInitializer(named: name + "_zero_point", Tensor([point], shape: [], as: type)),
    ]
  }
  var index = 0
  func pair(_ input: Value, _ point: UInt8, to output: Value? = nil) -> Value {
    index += 1
    let operands = parameters("t\(index)", point)
    let codes = Value("codes\(index)")
    let real = output ?? Value("real\(index)")
    graph.append(Node("QuantizeLinear", name: "q\(index)", inputs: [input] + operands, outputs: [codes]))
    graph.append(Node("DequantizeLinear", name: "dq\(index)", inputs: [codes] + operands, outputs: [real]))
    return real
  }
  graph.inputs = [Graph.Port(x)]
  var data = pair(x, zeroPoint)
  if secondPair {
    let operands = graph.nodes[0].inputs.dropFirst()
    let (codes, real) = (Value("again_codes"), Value("again"))
    graph.append(Node("QuantizeLinear", name: "again_q", inputs: [data] + operands, outputs: [codes]))
    graph.append(Node("DequantizeLinear", name: "again_dq", inputs: [codes] + operands, outputs: [real]))
    data = real
  }
  let weight = graph.addInitializer(
    named: "w_quantized", Tensor([UInt8](repeating: 100, count: 9), shape: [1, 1, 3, 3], as: .int8))
  let weightScale = graph.addInitializer(named: "w_scale", Tensor(scalar: Float(0.01)))
  let weightPoint = graph.addInitializer(named: "w_zero_point", Tensor([UInt8(0)], shape: [], as: .int8))
  let real = Value("w_real")
  graph.append(Node("DequantizeLinear", name: "w_dq", inputs: [weight, weightScale, weightPoint], outputs: [real]))
  let (sum, positive) = (Value("sum"), Value("positive"))
  graph.append(
    Node(
      "Conv", name: "conv", inputs: [data, real], outputs: [sum], attributes: [Attribute("pads", ints: [1, 1, 1, 1])]))
  graph.append(Node("Relu", name: "relu", inputs: [sum], outputs: [positive]))
  _ = pair(positive, outputZeroPoint, to: y)
  graph.outputs = [Graph.Port(y)]
  let model = Model(graph: graph)
  model.irVersion = 8
  model.setOpset(17)
  return model
}

private func lint(_ model: Model, _ target: String) throws -> LintReport { try Linter(target: target).run(on: model) }

@Suite struct LintTests {
  @Test func fusedConvolutionRunsInIntegers() throws {
    let report = try lint(convolution(), "onnxruntime")
    #expect(report.nodes.map(\.runsIn) == ["int8", "int8"])
    #expect(!report.findings.contains { $0.severity > .info })
  }

  @Test func symmetricReluKeepsConvolutionFloat() throws {
    let report = try lint(convolution(type: .int8, outputZeroPoint: 0), "onnxruntime")
    #expect(report.nodes.first?.runsIn == "float")
    let finding = try #require(report.findings.first { $0.rule.id == "ORT003" })
    #expect(finding.message.contains("the zero point is 0, not -128"))
  }

  @Test func tensorRTWantsSymmetricTypes() throws {
    #expect(try lint(convolution(), "tensorrt").findings.contains { $0.rule.id == "TRT003" && $0.severity == .error })
    #expect(
      try lint(convolution(type: .int8, zeroPoint: 3), "tensorrt").findings.contains {
        $0.rule.id == "TRT001" && $0.severity == .error
      })
    #expect(try lint(convolution(type: .int8), "tensorrt").count(.error) == 0)
  }

  @Test func badScalesAreErrorsForEveryTarget() throws {
    for target in Linter.targets {
      for scale in [Float(0), -1, .nan, .infinity] {
        #expect(
          try lint(convolution(scale: scale), target).findings.contains {
            $0.rule.id == "QDQ001" && $0.severity == .error
          })
      }
      #expect(try !lint(convolution(), target).findings.contains { $0.rule.id == "QDQ001" })
    }
  }

  @Test func secondPairIsTakenOut() throws {
    let model = convolution(secondPair: true)
    #expect(try lint(model, "onnxruntime").findings.contains { $0.rule.id == "QDQ004" && $0.isFixable })
    #expect(try !LintFixes(target: "onnxruntime").run(on: model).isEmpty)
    #expect(try !lint(model, "onnxruntime").findings.contains { $0.rule.id == "QDQ004" })
    #expect(try LintFixes(target: "onnxruntime").run(on: model).isEmpty)
  }

  @Test func centeredUnsignedBecomesSignedWithoutChangingAValue() throws {
    let model = convolution(zeroPoint: 128, outputZeroPoint: 128)
    let before = convolution(zeroPoint: 128, outputZeroPoint: 128)
    #expect(try lint(model, "tensorrt").count(.error) > 0)
    _ = try LintFixes(target: "tensorrt").run(on: model)
    #expect(try lint(model, "tensorrt").count(.error) == 0)
    #expect(try sqnr(before, model, samples(before, count: 4)) == .infinity)
  }

  @Test func stripTakesEveryPairOut() throws {
    let model = convolution()
    _ = try StripQDQ().run(on: model)
    #expect(model.graph.nodes.map(\.opType) == ["Conv", "Relu"])
    #expect(model.graph.outputs.first?.value.name == "y")
    #expect(model.graph.initializers.count == 1)
  }

  @Test func everyRuleHasItsOwnId() {
    #expect(Set(LintRule.all.map(\.id)).count == LintRule.all.count)
    #expect(throws: PassError.self) { try Linter(target: "abacus") }
  }
}
