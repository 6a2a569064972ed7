import FloatExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

@Suite struct TapTests {
  @Test func everyTensorIsSeenOnce() throws {
    let model = try ModelDecoder.load(path: TestFiles.fixture("digits/digits.onnx"))
    let executor = try FloatExecutor(model: model, foldsConstants: false)
    let input = try #require(model.graph.requiredInputs.first)
    var random = SeededGenerator(seed: 1)
    let image = Tensor((0..<64).map { _ in Float.random(in: 0...1, using: &random) }, shape: [1, 1, 8, 8])
    var seen: [String: Int] = [:]
    let results: [String: Tensor] = try executor.run([input.name: image]) { value, _ in
      seen[value.name, default: 0] += 1
    }
    let expected = [input.name] + model.graph.nodes.flatMap { $0.outputs.compactMap { $0?.name } }
    #expect(seen == Dictionary(uniqueKeysWithValues: expected.map { ($0, 1) }))

    // Looking on changes nothing.
    let unseen = try executor.run([input.name: image])
    for (name, tensor) in results { #expect(unseen[name]?.isIdentical(to: tensor) == true) }
  }

  @Test func tensorsAreSeenAsTheyAreComputed() throws {
    let builder = GraphSketch()
    let a = builder.node("Neg", [builder.input("x")], to: "a")
    builder.output(builder.node("Abs", [a], to: "y"))
    var seen: [(String, [Float]?)] = []
    let _: [String: Tensor] = try FloatExecutor(model: builder.model()).run(["x": Tensor(1, -2)]) { value, result in
      seen.append((value.name, result.tensor?.floats))
    }
    #expect(seen.map(\.0) == ["x", "a", "y"])
    #expect(seen.map(\.1) == [[1, -2], [-1, 2], [1, 2]])
  }

  @Test func nestedGraphsAreSeenInEachIteration() throws {
    let builder = GraphSketch()
    let count = builder.input("n", .int64, [])
    let body = GraphSketch("body")
    body.input("i", .int64, [])
    let condition = body.input("condition_in", .bool, [])
    let carried = body.input("p", .float32, [])
    let next = body.node("Add", [carried, carried], to: "p_out")
    body.output(condition, next)
    let last = Value("last")
    builder.graph.append(
      Node(
        "Loop", name: "loop", inputs: [count, nil, builder.constant("first", [1])], outputs: [last],
        attributes: [Attribute("body", .graph(body.graph))]))
    builder.output(last)
    var sums: [Float] = []
    var lasts = 0
    let _: [String: Tensor] = try FloatExecutor(model: builder.model()).run(["n": Tensor(scalar: Int64(4))]) {
      value, result in
      if value === next { sums += result.tensor?.floats ?? [] }
      if value === last { lasts += 1 }
    }
    #expect(sums == [2, 4, 8, 16])
    #expect(lasts == 1)
  }

  @Test func absentOutputsAreNotSeen() throws {
    let builder = GraphSketch()
    let x = builder.input("x")
    let (values, indices) = (Value("values"), Value("indices"))
    let k = builder.constant("k", Tensor([Int64(2)], shape: [1]))
    builder.graph.append(Node("TopK", name: "both", inputs: [x, k], outputs: [values, indices]))
    builder.graph.append(Node("Dropout", name: "drop", inputs: [values], outputs: [Value("y"), nil]))
    builder.output(try #require(builder.graph.nodes[1].output(0)))
    var seen: [String] = []
    let _: [String: Tensor] = try FloatExecutor(model: builder.model()).run(["x": Tensor(1, 3, 2)]) { value, _ in
      seen.append(value.name)
    }
    #expect(seen == ["x", "values", "indices", "y"])
  }

  @Test func anErrorInATapEndsTheRun() throws {
    struct Enough: Error {}
    let builder = GraphSketch()
    let a = builder.node("Neg", [builder.input("x")], to: "a")
    builder.output(builder.node("Neg", [a], to: "y"))
    var seen = 0
    #expect(throws: (any Error).self) {
      let _: [String: Tensor] = try FloatExecutor(model: builder.model()).run(["x": Tensor(1)]) { value, _ in
        seen += 1
        if value.name == "a" { throw Enough() }
      }
    }
    #expect(seen == 2)
  }
}
