import ONNXGraph
import ONNXTensor
import QuantVerification
import Testing

/// The comparison itself, on forms of a model that are plain functions.
@Suite struct VerificationTests {
  /// scores = x + offset, with a tensor "hidden" that is 2·scores.
  private func subject(_ offset: [Float], hidden: String = "hidden") -> Verification.Subject {
    Verification.Subject { inputs, observe in
      guard let x = inputs["x"]?.tensor?.floats else { throw VerificationError("no input x") }
      let scores = zip(x, offset).map(+)
      observe?(hidden, Tensor(scores.map { 2 * $0 }, shape: [1, scores.count]))
      return ["scores": Tensor(scores, shape: [1, scores.count])]
    }
  }

  private func verification(
    fakeQuant: [Float]?, integer: [Float]?, pairs: [(quantized: String, float: String)] = []
  ) -> Verification {
    Verification(
      float: subject([0, 0, 0]), fakeQuant: fakeQuant.map { subject($0, hidden: "hidden_dq") },
      integer: integer.map { subject($0) }, outputNames: ["scores"], tensorPairs: pairs)
  }

  private func sample(_ x: [Float], label: Int? = nil, reference: [Float]? = nil) -> Verification.Sample {
    Verification.Sample(
      inputs: ["x": .tensor(Tensor(x, shape: [1, x.count]))], labels: label.map { [$0] },
      reference: reference.map { ["scores": Tensor($0, shape: [1, $0.count])] } ?? [:])
  }

  private func run(_ verification: Verification, _ samples: [Verification.Sample]) throws -> VerificationReport {
    var rest = samples[...]
    return try verification.run(next: { rest.popFirst() })
  }

  @Test func outputsOfAllPairs() throws {
    let report = try run(
      verification(fakeQuant: [1, 0, 0], integer: [0, 2, 0]),
      [sample([10, 0, 0], reference: [10, 0, 0.5]), sample([0, 10, 0])])
    #expect(report.samples == 2)
    #expect(report.outputs.map(\.pair) == [.referenceFloat, .floatFakeQuant, .floatInteger, .fakeQuantInteger])
    #expect(report.outputs.allSatisfy { $0.name == "scores" })
    #expect(report.outputs.map(\.metrics.maxAbsolute) == [0.5, 1, 2, 2])
    // The reference is there for one of the two samples.
    #expect(report.outputs.map(\.metrics.count) == [3, 6, 6, 6])
    // Signal 200, noise 2.
    #expect((report.outputs[1].metrics.sqnr - 20).magnitude < 1e-9)
    #expect(report.topOne == nil && report.labelled == 0)
  }

  @Test func formsThatAreAbsentAreNotCompared() throws {
    let report = try run(verification(fakeQuant: nil, integer: [0, 0, 0]), [sample([1, 2, 3])])
    #expect(report.outputs.map(\.pair) == [.floatInteger])
    #expect(report.agreement?.fakeQuant == nil && report.agreement?.integer == 100)
    #expect(report.agreement?.float == nil)
  }

  @Test func agreementAndAccuracy() throws {
    // The integer form adds 3 to class 2, so it answers 2 where no lead is above 3.
    let samples = [
      sample([9, 0, 0], label: 0), sample([2, 0, 0], label: 0), sample([0, 2, 0], label: 2), sample([0, 0, 1]),
    ]
    let report = try run(verification(fakeQuant: [0, 0, 0], integer: [0, 0, 3]), samples)
    #expect(report.agreement?.fakeQuant == 100 && report.agreement?.integer == 50)
    #expect(report.labelled == 3)
    let topOne = try #require(report.topOne)
    #expect(topOne.float.map { ($0 - 200.0 / 3).magnitude < 1e-9 } == true)
    #expect(topOne.integer.map { ($0 - 200.0 / 3).magnitude < 1e-9 } == true)
  }

  @Test func tensorsWorstFirst() throws {
    var verification = self.verification(
      fakeQuant: [1, 0, 0], integer: nil,
      pairs: [(quantized: "hidden_dq", float: "hidden"), (quantized: "never", float: "hidden")])
    let plain = verification.fakeQuant
    verification.tensorPairs.append((quantized: "close", float: "hidden"))
    verification.fakeQuant = Verification.Subject { inputs, observe in
      guard let x = inputs["x"]?.tensor?.floats else { throw VerificationError("no input x") }
      observe?("close", Tensor(x.map { 2 * $0 + 0.01 }, shape: [1, 3]))
      return try plain?.run(inputs, observe) ?? [:]
    }
    let report = try run(verification, [sample([1, 2, 3]), sample([3, 2, 1])])
    // A tensor that was never seen has no line.
    #expect(report.tensors.count == 2)
    #expect(report.tensors.map(\.name) == ["hidden", "hidden"])
    #expect(report.tensors[0].metrics.sqnr < report.tensors[1].metrics.sqnr)
    #expect(report.tensors[0].metrics.maxAbsolute == 2 && report.tensors[0].metrics.count == 6)
  }

  @Test func differentShapesAreAnError() throws {
    var verification = self.verification(fakeQuant: nil, integer: nil)
    verification.integer = Verification.Subject { _, _ in ["scores": Tensor([1 as Float], shape: [1])] }
    let error = try #require(throws: VerificationError.self) { try run(verification, [sample([1, 2, 3])]) }
    #expect(error.message.contains("'scores'") && error.message.contains("[1, 3]"))
    #expect(error.message.contains("float/integer"))
  }

  @Test func progressAndErrorsPassThrough() throws {
    var rest = [sample([1, 2, 3]), sample([1, 2, 3])][...]
    var steps: [Int] = []
    _ = try verification(fakeQuant: nil, integer: nil).run(next: { rest.popFirst() }) { steps.append($0) }
    #expect(steps == [1, 2])
    struct Broken: Error {}
    #expect(throws: Broken.self) { try verification(fakeQuant: nil, integer: nil).run(next: { throw Broken() }) }
  }

  @Test func quantizedTensorsFindTheirFloatTwins() {
    let float = Graph(name: "float")
    let (x, y) = (Value("x"), Value("y"))
    float.inputs = [Graph.Port(x)]
    float.append(Node("Relu", inputs: [x], outputs: [y]))
    float.outputs = [Graph.Port(y)]

    let quantized = Graph(name: "quantized")
    func pair(_ source: Value, _ output: Value) {
      let codes = Value(source.name + "_q")
      quantized.append(Node("QuantizeLinear", inputs: [source, Value("s"), Value("z")], outputs: [codes]))
      quantized.append(Node("DequantizeLinear", inputs: [codes, Value("s"), Value("z")], outputs: [output]))
    }
    let (input, inputDequantized) = (Value("x"), Value("x_dq"))
    pair(input, inputDequantized)
    let raw = Value("y_raw")
    quantized.append(Node("Relu", inputs: [inputDequantized], outputs: [raw]))
    // A graph output keeps its name behind the pair.
    pair(raw, Value("y"))
    // A weight: no QuantizeLinear before it.
    quantized.append(
      Node("DequantizeLinear", inputs: [Value("w_q"), Value("s"), Value("z")], outputs: [Value("w_dq")]))
    // A tensor that the float model does not have.
    pair(Value("new"), Value("new_dq"))

    let pairs = Verification.tensorPairs(float: Model(graph: float), quantized: Model(graph: quantized))
    #expect(pairs.map(\.quantized) == ["x_dq", "y"])
    #expect(pairs.map(\.float) == ["x", "y"])
  }
}
