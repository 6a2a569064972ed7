import FloatKernels
import FoundationEssentials
import IntegerExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Engines of random models: what is read back runs as what was lowered, byte for byte.
@Suite struct EngineFileTests {
  /// A network with every kind of step that an engine holds.
  static func everyStep(seed: UInt64) -> (model: Model, shapes: [[Int]]) {
    var b = QDQBuilder(seed: seed)
    let shape = [1, 4, 8, 8]
    let x = b.pair(b.input(shape))
    let a = b.pair(
      b.node(
        "Relu", [b.node("Conv", [x, b.weights([6, 4, 3, 3]), b.bias(6)], [Attribute("pads", ints: [1, 1, 1, 1])])]))
    let c = b.pair(
      b.node(
        "Conv", [a, b.weights([6, 1, 3, 3])],
        [
          Attribute("pads", ints: [1, 1, 1, 1]), Attribute("group", int: 6),
        ]))
    let residual = b.pair(b.node("Add", [b.node("Conv", [c, b.weights([6, 6, 1, 1])]), a]))
    let sum = b.pair(b.node("Add", [residual, c]))
    let product = b.pair(b.node("Mul", [sum, a]))
    let sigmoid = b.pair(b.node("Sigmoid", [product]))
    let pooled = b.pair(
      b.node("MaxPool", [sigmoid], [Attribute("kernel_shape", ints: [2, 2]), Attribute("strides", ints: [2, 2])]))
    let averaged = b.pair(
      b.node(
        "AveragePool", [pooled], [Attribute("kernel_shape", ints: [3, 3]), Attribute("pads", ints: [1, 1, 1, 1])]))
    let joined = b.pair(b.node("Concat", [pooled, averaged], [Attribute("axis", int: 1)]))
    let order = b.pair(b.node("Transpose", [joined], [Attribute("perm", ints: [0, 2, 3, 1])]))
    let attention = b.pair(
      b.node(
        "MatMul",
        [
          order,
          b.pair(
            b.node(
              "Transpose", [order],
              [
                Attribute("perm", ints: [0, 1, 3, 2])
              ])),
        ]))
    let mean = b.pair(
      b.node("ReduceMean", [attention], [Attribute("axes", ints: [2, 3]), Attribute("keepdims", int: 0)]))
    let island = b.pair(b.node("Hardmax", [mean]))
    let tail = Self.fixedPoint(&b, pooled)
    b.output(tail.head)
    b.output(b.pair(tail.body))
    b.output(b.pair(b.node("Gemm", [island, b.weights([5, 4]), b.bias(5)], [Attribute("transB", int: 1)])))
    b.output(b.node("GlobalAveragePool", [joined]))
    b.output(b.node("Gemm", [b.pair(b.node("Flatten", [pooled])), b.weights([3, 96])], [Attribute("transB", int: 1)]))
    b.output(
      b.pair(
        b.node(
          "ConvTranspose", [pooled, b.weights([6, 2, 3, 2], axis: 1), b.bias(2)],
          [Attribute("strides", ints: [2, 2]), Attribute("pads", ints: [1, 0, 0, 1])])))
    for output in Self.sixteen(&b, pooled) + Self.integers(&b, pooled) { b.output(output) }
    return (b.model(), [shape])
  }

  /// Every kind of step on 16-bit codes.
  private static func sixteen(_ b: inout QDQBuilder, _ x: Value) -> [Value] {
    let wide = b.pair16(b.node("Tanh", [b.node("Add", [x, b.node("Sigmoid", [x])])]))
    let conv = b.pair16(b.node("Conv", [wide, b.weights16([4, 6, 2, 2], isSigned: true), b.bias(4)]))
    let product = b.pair16(b.node("MatMul", [conv, b.weights([3, 3], axis: 1)]))
    let square = b.pair(b.node("MatMul", [product, conv]))
    return [square, b.pair16(b.node("MaxPool", [conv], [Attribute("kernel_shape", ints: [2, 2])]))]
  }

  /// Operators whose results are sums, and the steps on windows of fixed-point codes.
  private static func integers(_ b: inout QDQBuilder, _ x: Value) -> [Value] {
    let p = b.parameters(scale: 0.05, zero: 3, .int8)
    let codes = b.quantize(b.node("Hardmax", [x]), p)
    let left = b.node(
      "MatMulInteger", [codes, b.constant("w", Tensor([Int8](repeating: 5, count: 8), shape: [4, 2])), p[1]])
    let right = b.node(
      "ConvInteger", [codes, b.constant("w", Tensor([Int8](repeating: -7, count: 12), shape: [2, 6, 1, 1])), p[1]])
    let scales = b.constant("scales", Tensor([1, 1, 1.5, 2] as [Float], shape: [4]))
    let resized = b.node("Resize", [x, nil, scales], [Attribute("mode", .string(Array("linear".utf8)))])
    let cast = [Attribute("to", int: 1)]
    return [b.node("Cast", [left], cast), b.node("Cast", [right], cast), b.pair(resized)]
  }

  /// A region without Q/DQ of its own, with every kind of step on fixed-point codes.
  private static func fixedPoint(_ b: inout QDQBuilder, _ x: Value) -> (head: Value, body: Value) {
    let conv = b.node("Conv", [x, b.weights([6, 6, 1, 1]), b.bias(6)])
    let silu = b.node("Mul", [conv, b.node("Sigmoid", [conv])])
    let clipped = b.node("Relu", [b.node("Add", [silu, x])])
    let scaled = b.node("Mul", [clipped, b.constant("scale", Tensor(scalar: Float(0.7)))])
    let product = b.node("Mul", [scaled, conv])
    let shifted = b.node("Sub", [product, b.constant("offsets", Tensor([Float(0.1), 0.2, 0.3, -1], shape: [4]))])
    let moved = b.node("Transpose", [shifted], [Attribute("perm", ints: [0, 1, 3, 2])])
    let pooled = b.node("AveragePool", [moved], [Attribute("kernel_shape", ints: [2, 2])])
    let shape = b.constant("shape", Tensor([Int64](arrayLiteral: 1, 6, 4, 4), shape: [4]))
    let keys = b.pair(b.node("Reshape", [x, shape]))
    let scores = b.node("MatMul", [x, keys])
    let mask = b.node("Hardmax", [x])
    let weights = b.node("Softmax", [b.node("Add", [scores, mask])])
    let gamma = b.constant("gamma", Tensor([1, 1.5, 0.5], shape: [3]))
    let normalized = b.node("LayerNormalization", [pooled, gamma], [Attribute("epsilon", float: 1e-12)])
    return (b.node("ReduceMean", [normalized], [Attribute("axes", ints: [1])]), weights)
  }

  static func engine(_ model: Model, _ options: IntegerOptions = IntegerOptions()) throws -> [UInt8] {
    var options = options
    options.isStored = true
    return try EngineWriter(IntegerPlan(model: model, options: options), stamp: [("onnxq.version", "test")]).bytes()
  }

  static func feeds(_ shapes: [[Int]], seed: UInt64) -> [String: Tensor] {
    var random = SeededGenerator(seed: seed)
    var feeds: [String: Tensor] = [:]
    for (index, shape) in shapes.enumerated() {
      feeds["x\(index)"] = Tensor(
        (0..<shape.reduce(1, *)).map { _ in Float.random(in: -3...3, using: &random) }, shape: shape)
    }
    return feeds
  }

  static func same(_ a: [String: Tensor], _ b: [String: Tensor]) -> Bool {
    a.count == b.count
      && a.allSatisfy { name, x in
        guard let y = b[name], x.shape == y.shape, x.elementType == y.elementType else { return false }
        return x.withBytes { x in y.withBytes { x.elementsEqual($0) } }
      }
  }

  @Test(arguments: 0..<6) func anEngineRunsAsThePlanItWasWrittenFrom(_ seed: Int) throws {
    let (model, shapes) = Self.everyStep(seed: UInt64(seed))
    let options = IntegerOptions(rounding: seed % 2 == 0 ? .fixed : .binary32)
    let bytes = try Self.engine(model, options)
    #expect(try Self.engine(model, options) == bytes, "the same plan gives other bytes")
    let file = try EngineFile(ByteView(bytes))
    #expect(file.changedParts().isEmpty)
    let plan = try IntegerPlan(model: model, options: options)
    let executor = IntegerExecutor(plan: plan)
    let engine = IntegerExecutor(plan: try file.plan(), threads: ThreadPool(threads: 2))
    for sample in 0..<3 {
      let inputs = Self.feeds(shapes, seed: UInt64(sample))
      var seen: [String: [Float]] = [:]
      var seenInEngine: [String: [Float]] = [:]
      let expected: [String: Tensor] = try executor.run(inputs, tap: { seen[$0.name] = $1.tensor?.floats })
      let got: [String: Tensor] = try engine.run(inputs, tap: { seenInEngine[$0.name] = $1.tensor?.floats })
      #expect(Self.same(expected, got), "seed \(seed), sample \(sample)")
      #expect(seen == seenInEngine, "seed \(seed), sample \(sample): taps")
    }
    #expect(engine.statistics.macs == executor.statistics.macs)
    #expect(engine.statistics.integerMacs == executor.statistics.integerMacs)
    #expect(engine.statistics.islands == executor.statistics.islands)
    #expect(plan.islands == (try file.plan()).islands)
    if seed == 0 {
      let kinds = Set(file.steps.map(\.kind))
      for kind in [
        "quantize", "dequantize", "table", "add", "multiply", "concat", "convolution", "matrix-product",
        "activation-product", "max-pool", "average-pool", "reduce", "move", "operator",
        "codes-constant", "codes-table", "codes-quantize", "codes-dequantize", "codes-mask", "codes-scale",
        "codes-clamp", "codes-function", "codes-binary", "codes-softmax", "codes-normalize", "codes-mean",
        "codes-average-pool", "codes-move", "codes-max-pool", "codes-resize", "convolution-transpose", "convolution-16",
        "matrix-product-16", "activation-product-16", "codes-import-16", "codes-quantize-16", "integer-matrices",
        "integer-convolution",
      ] { #expect(kinds.contains(kind), "no step of kind \(kind): the other tests are blind to it") }
    }
  }

  @Test func aModelWithNestedGraphsIsStoredWhole() throws {
    let branch = { (name: String, value: Float) -> Graph in
      let graph = Graph(name: name)
      let output = Value(name + "_out", type: .tensor(.float32, [2]))
      let constant = graph.addInitializer(named: name + "_c", Tensor([value, value], shape: [2]))
      graph.append(Node("Identity", inputs: [constant], outputs: [output]))
      graph.outputs.append(Graph.Port(output))
      return graph
    }
    let graph = Graph(name: "g")
    let condition = Value("condition", type: .tensor(.bool, []))
    let y = Value("y", type: .tensor(.float32, [2]))
    graph.inputs.append(Graph.Port(condition))
    graph.append(
      Node(
        "If", inputs: [condition], outputs: [y],
        attributes: [
          Attribute("then_branch", .graph(branch("t", 1))), Attribute("else_branch", .graph(branch("e", 2))),
        ]))
    graph.outputs.append(Graph.Port(y))
    let model = Model(graph: graph)
    model.irVersion = 9
    model.setOpset(17)
    let executor = IntegerExecutor(plan: try EngineFile(ByteView(try Self.engine(model))).plan())
    for (flag, value) in [(UInt8(1), Float(1)), (0, 2)] {
      let outputs: [String: Tensor] = try executor.run(["condition": Tensor([flag], shape: [], as: .bool)])
      #expect(outputs["y"]?.array(Float.self) == [value, value])
    }
  }

  @Test func changedContentIsFound() throws {
    let (model, _) = Self.everyStep(seed: 1)
    let bytes = try Self.engine(model)
    for section in try EngineFile(ByteView(bytes)).sections where section.size > 0 && section.name == "data" {
      var changed = bytes
      changed[section.offset] ^= 1
      #expect(try EngineFile(ByteView(changed)).changedParts() == ["data"])
    }
    var changed = bytes
    changed[40] ^= 1
    #expect(try EngineFile(ByteView(changed)).changedParts() == ["header"])
  }

  @Test func anUnknownStepAndAnotherVersionAreNamed() throws {
    let (model, _) = Self.everyStep(seed: 1)
    let bytes = try Self.engine(model)
    let text = Array("max-pool".utf8)
    let place = try #require(bytes.indices.first { bytes[$0...].starts(with: text) })
    var changed = bytes
    changed[place] = UInt8(ascii: "w")
    let file = try EngineFile(ByteView(changed))
    let unknown = #expect(throws: EngineFileError.self) { try file.plan() }
    #expect(unknown?.code == .unsupported)
    #expect(unknown?.message.contains("wax-pool") == true)
    #expect(unknown?.location?.contains("MaxPool_") == true)
    changed = bytes
    changed[8] = 9
    let version = #expect(throws: EngineFileError.self) { try EngineFile(ByteView(changed)) }
    #expect(version?.code == .unsupported)
    let other = #expect(throws: EngineFileError.self) { try EngineFile(ByteView(Array("GIF89a..".utf8))) }
    #expect(other?.code == .notEngine)
  }

  @Test func aPlanWithoutItsWeightsIsRefusedByNode() throws {
    let (model, _) = Self.everyStep(seed: 1)
    let plan = try IntegerPlan(model: model)
    let error = #expect(throws: EngineFileError.self) { try EngineWriter(plan, stamp: []).bytes() }
    #expect(error?.code == .unwritable)
    #expect(error?.location?.contains("Conv_") == true)
  }

  @Test func openingReadsNoWeights() throws {
    // 64 MiB of weights: opening takes the time of the tables.
    var b = QDQBuilder(seed: 3)
    let x = b.pair(b.input([1, 8192]))
    b.output(b.pair(b.node("Gemm", [x, b.weights([8192, 8192])], [Attribute("transB", int: 1)])))
    let folder = try TestFiles.scratch("engine")
    let path = folder + "/large.engine"
    let size = try EngineWriter(
      IntegerPlan(model: b.model(), options: IntegerOptions(isStored: true)), stamp: []
    ).write(to: path)
    var best = Duration.seconds(10)
    for _ in 0..<5 {
      best = min(
        best, try ContinuousClock().measure { _ = try EngineFile.open(path: path).plan() })
    }
    print("opening \(size) bytes: \(best)")
    let small = try Self.engine(Self.everyStep(seed: 1).model)
    let view = ByteView(small)
    var least = Duration.seconds(10)
    for _ in 0..<20 { least = min(least, try ContinuousClock().measure { _ = try EngineFile(view).plan() }) }
    print("opening \(small.count) bytes, mostly tables: \(least)")
    #expect(best < .milliseconds(size / (10 << 20)), "\(size) bytes in \(best)")
    try FileManager.default.removeItem(atPath: folder)
  }
}
