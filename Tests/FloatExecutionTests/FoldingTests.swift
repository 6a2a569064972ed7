import FloatExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

@Suite struct FoldingTests {
  /// Operators over a mixture of constants and inputs; about half of the nodes can be folded.
  private func random(seed: UInt64) -> Model {
    var random = SeededGenerator(seed: seed)
    let builder = GraphSketch()
    var values = [
      builder.input("x", .float32, [2, 3]),
      builder.constant("a", Tensor([1 as Float, -2, 0.5, 4, 0.25, -8], shape: [2, 3])),
      builder.constant("b", [0.75]),
    ]
    let constant = builder.node(
      "Constant", [], to: "c",
      attributes: [Attribute("value", tensor: Tensor([3 as Float, -1.5, 0.125], shape: [3]))])
    values.append(constant)
    let binary = ["Add", "Sub", "Mul", "Max", "Min"]
    let unary = ["Neg", "Abs", "Tanh", "Sigmoid", "Relu", "Floor"]
    for index in 0..<30 {
      func any() -> Value { values[Int.random(in: 0..<values.count, using: &random)] }
      if Bool.random(using: &random) {
        values.append(
          builder.node(binary[Int.random(in: 0..<binary.count, using: &random)], [any(), any()], to: "v\(index)"))
      } else {
        values.append(
          builder.node(unary[Int.random(in: 0..<unary.count, using: &random)], [any()], to: "v\(index)"))
      }
    }
    for value in values.suffix(10) { builder.output(value) }
    return builder.model()
  }

  @Test(arguments: UInt64(0)..<10) func foldedEqualsUnfolded(seed: UInt64) throws {
    let model = random(seed: seed)
    let x = Tensor([0.5 as Float, -1, 2, 1e-3, -7.25, 0], shape: [2, 3])
    let folded = try FloatExecutor(model: model, foldsConstants: true).run(["x": x])
    let unfolded = try FloatExecutor(model: model, foldsConstants: false).run(["x": x])
    #expect(folded.count == 10)
    for (name, tensor) in folded { #expect(unfolded[name]?.isIdentical(to: tensor) == true, "\(name)") }
  }

  @Test func foldingLeavesFewerNodesToRun() throws {
    let builder = GraphSketch()
    let sum = builder.node("Add", [builder.constant("a", [1]), builder.constant("b", [2])], to: "sum")
    builder.output(builder.node("Mul", [builder.input("x"), sum], to: "y"))
    func tapped(_ folds: Bool) throws -> [String] {
      var names: [String] = []
      let _: [String: Tensor] = try FloatExecutor(model: builder.model(), foldsConstants: folds)
        .run(["x": Tensor(2)]) { value, _ in names.append(value.name) }
      return names
    }
    #expect(try tapped(true) == ["x", "y"])
    #expect(try tapped(false) == ["x", "sum", "y"])
  }

  @Test func aFoldedGraphOutputIsGiven() throws {
    let builder = GraphSketch()
    builder.input("x")
    builder.output(builder.node("Neg", [builder.constant("a", [1])], to: "y"))
    #expect(try FloatExecutor(model: builder.model()).run(["x": Tensor(0)])["y"]?.floats == [-1])
  }

  @Test func nestedGraphsReadFoldedValues() throws {
    let builder = GraphSketch()
    let condition = builder.input("c", .bool, [])
    let folded = builder.node("Neg", [builder.constant("a", [4])], to: "folded")
    func branch(_ opType: String) -> GraphSketch {
      let branch = GraphSketch(opType)
      branch.output(branch.node(opType, [folded], to: opType + "_y"))
      return branch
    }
    builder.output(
      builder.node(
        "If", [condition], to: "y",
        attributes: [
          Attribute("then_branch", .graph(branch("Abs").graph)), Attribute("else_branch", .graph(branch("Neg").graph)),
        ]))
    let executor = try FloatExecutor(model: builder.model())
    #expect(try executor.run(["c": Tensor(scalar: true)])["y"]?.floats == [4])
    #expect(try executor.run(["c": Tensor(scalar: false)])["y"]?.floats == [4])
  }

  @Test func aNodeThatCannotBeFoldedFailsWhenItIsReached() throws {
    let builder = GraphSketch()
    let x = builder.input("x")
    // Shapes that do not go together.
    let bad = builder.node("Add", [builder.constant("a", [1, 2]), builder.constant("b", [1, 2, 3])], to: "bad")
    builder.output(builder.node("Add", [x, bad], to: "y"))
    let executor = try FloatExecutor(model: builder.model())
    let error = try #require(throws: ExecutionError.self) { try executor.run(["x": Tensor(1)]) }
    #expect(error.node == "make_bad [Add]")
  }

  @Test func randomGeneratorsAreNotFolded() throws {
    let builder = GraphSketch()
    builder.output(
      builder.node("RandomUniform", [], to: "y", attributes: [Attribute("shape", ints: [64])]))
    let executor = try FloatExecutor(model: builder.model())
    var seen = 0
    let _: [String: Tensor] = try executor.run([:]) { value, _ in seen += value.name == "y" ? 1 : 0 }
    #expect(seen == 1)
  }
}
