import FloatExecution
import FloatKernels
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// The same bytes for every number of threads and every batch.
@Suite struct DeterminismTests {
  private func random(_ shape: [Int], seed: UInt64) -> Tensor {
    var random = SeededGenerator(seed: seed)
    return Tensor((0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }, shape: shape)
  }

  /// Convolutions, products and reductions large enough that threads share them.
  private func network() -> Model {
    let builder = GraphSketch()
    let x = builder.input("x", .float32, [-1, 8, 33, 31])
    let pads = Attribute("pads", ints: [1, 1, 1, 1])
    let wide = builder.node(
      "Conv",
      [x, builder.constant("w1", random([24, 8, 3, 3], seed: 1)), builder.constant("b1", random([24], seed: 2))],
      to: "wide", attributes: [pads])
    let depthwise = builder.node(
      "Conv", [wide, builder.constant("w2", random([24, 1, 3, 3], seed: 3))], to: "depthwise",
      attributes: [pads, Attribute("group", int: 24)])
    let active = builder.node("Sigmoid", [depthwise], to: "active")
    let sum = builder.node("Add", [active, wide], to: "sum")
    let pooled = builder.node("MaxPool", [sum], to: "pooled", attributes: [Attribute("kernel_shape", ints: [2, 2])])
    let mean = builder.node("GlobalAveragePool", [pooled], to: "mean")
    let flat = builder.node("Flatten", [mean], to: "flat")
    let scores = builder.node("MatMul", [flat, builder.constant("w3", random([24, 301], seed: 4))], to: "scores")
    builder.output(sum, builder.node("Softmax", [scores], to: "y"))
    return builder.model()
  }

  @Test(arguments: [2, 3, 5]) func threadsDoNotChangeABit(threads: Int) throws {
    let model = network()
    let x = random([3, 8, 33, 31], seed: 5)
    let alone = try FloatExecutor(model: model).run(["x": x])
    let shared = try FloatExecutor(model: model, threads: ThreadPool(threads: threads)).run(["x": x])
    #expect(alone.count == 2)
    for (name, tensor) in alone { #expect(shared[name]?.isIdentical(to: tensor) == true, "\(name)") }
  }

  @Test func runningAgainDoesNotChangeABit() throws {
    let executor = try FloatExecutor(model: network(), threads: ThreadPool(threads: 2))
    let x = random([2, 8, 33, 31], seed: 6)
    let first = try executor.run(["x": x])
    // Another shape in between takes other buffers out of the pool.
    _ = try executor.run(["x": random([1, 8, 33, 31], seed: 7)])
    let second = try executor.run(["x": x])
    for (name, tensor) in first { #expect(second[name]?.isIdentical(to: tensor) == true, "\(name)") }
  }

  @Test func aSampleDoesNotDependOnItsBatch() throws {
    let executor = try FloatExecutor(model: network())
    let batch = random([4, 8, 33, 31], seed: 8)
    let together = try executor.run(["x": batch])
    for index in 0..<4 {
      let alone = try executor.run(["x": batch.rows(index..<index + 1)])
      for (name, tensor) in alone {
        #expect(together[name]?.rows(index..<index + 1).isIdentical(to: tensor) == true, "sample \(index), \(name)")
      }
    }
  }

  @Test(arguments: ["digits/digits.onnx", "digits-qat/digits_qat.onnx"]) func fixturesOnTwoThreads(path: String) throws
  {
    let model = try ModelDecoder.load(path: TestFiles.fixture(path))
    let input = try #require(model.graph.requiredInputs.first?.name)
    let x = random([5, 1, 8, 8], seed: 9)
    let alone = try FloatExecutor(model: model).run([input: x])
    let shared = try FloatExecutor(model: model, threads: ThreadPool(threads: 2)).run([input: x])
    #expect(!alone.isEmpty)
    for (name, tensor) in alone { #expect(shared[name]?.isIdentical(to: tensor) == true, "\(name)") }
  }
}
