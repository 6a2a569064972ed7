import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// 16-bit activations and weights against fake quantization. Float32 sums and fixed point both stay well under a step of 16
/// bits here, so the codes differ by one at most.
@Suite struct SixteenBitTests {
  private func compare(_ b: inout QDQBuilder, inputs: [[Int]], steps: Float = 1.01, share: Double? = 1, _ label: String)
    throws
  {
    let model = b.model(opset: 21)
    let float = try FloatExecutor(model: model)
    let executor = try IntegerExecutor(model: model, options: IntegerOptions(integerOnly: true))
    let bytes = try EngineFileTests.engine(model)
    let engine = IntegerExecutor(plan: try EngineFile(.init(bytes)).plan(), threads: ThreadPool(threads: 3))
    for _ in 0..<3 {
      var feeds: [String: Tensor] = [:]
      for (index, shape) in inputs.enumerated() {
        feeds["x\(index)"] = Tensor((0..<shape.reduce(1, *)).map { _ in b.real(-3...3) }, shape: shape)
      }
      let expected: [String: Tensor] = try float.run(feeds)
      let got: [String: Tensor] = try executor.run(feeds)
      #expect(EngineFileTests.same(got, try engine.run(feeds)), "\(label): the engine differs")
      for port in model.graph.outputs {
        let e = try #require(expected[port.value.name])
        let g = try #require(got[port.value.name])
        #expect(e.shape == g.shape, "\(label)")
        let step =
          port.value.producer?.opType == "DequantizeLinear"
          ? try #require(
            port.value.producer?.input(1).flatMap { try model.graph.initializer(for: $0)?.tensor().floats?.first })
          : nil
        let largest = e.array(Float.self).map(abs).max() ?? 0
        let bound = step.map { $0 * steps } ?? largest * 1e-5 + 1e-6
        for (x, y) in zip(e.array(Float.self), g.array(Float.self)) {
          #expect(abs(x - y) <= bound, "\(label): \(x) and \(y), bound \(bound)")
        }
      }
    }
    #expect(executor.statistics.islands.isEmpty, "\(label)")
    if let share { #expect(executor.statistics.share == share, "\(label)") }
  }

  @Test(arguments: 0..<18) func convolutions(_ seed: Int) throws {
    var b = QDQBuilder(seed: UInt64(20_000 + seed))
    let spatial = b.int(1...3)
    let groups = [1, 2, 4][b.int(0...2)]
    let (channels, outputs) = (groups * b.int(1...4), groups * b.int(1...5))
    let shape = [b.int(1...2), channels] + (0..<spatial).map { _ in b.int(4...7) }
    let x = seed % 6 == 5 ? b.pair(b.input(shape)) : b.pair16(b.input(shape))
    let kernel = (0..<spatial).map { _ in b.int(1...3) }
    let wShape = [outputs, channels / groups] + kernel
    let w = seed % 3 == 0 ? b.weights(wShape) : b.weights16(wShape, isSigned: seed % 3 == 1 || seed % 6 == 5)
    let attributes = [
      Attribute("group", int: groups), Attribute("pads", ints: (0..<2 * spatial).map { _ in b.int(0...1) }),
      Attribute("strides", ints: (0..<spatial).map { _ in b.int(1...2) }),
    ]
    var y = b.node("Conv", seed % 2 == 0 ? [x, w, b.bias(outputs)] : [x, w], attributes)
    if seed % 4 == 1 { y = b.node("Relu", [y]) }
    // 16 bits, 8 bits, or a head.
    b.output(seed % 5 == 4 ? y : seed % 5 == 3 ? b.pair(y) : b.pair16(y, range: 12))
    try compare(&b, inputs: [shape], "seed \(seed)")
  }

  @Test func matrixProducts() throws {
    for seed in 0..<12 {
      var b = QDQBuilder(seed: UInt64(21_000 + seed))
      let (m, k, n) = (b.int(1...7), b.int(1...60), b.int(1...40))
      let x = b.pair16(b.input([m, k]))
      let isSigned = seed % 2 == 0
      let y: Value
      switch seed % 4 {
      case 0: y = b.node("Gemm", [x, b.weights16([k, n], axis: 1, isSigned: true), b.bias(n)])
      case 1: y = b.node("Gemm", [x, b.weights([n, k]), b.bias(n)], [Attribute("transB", int: 1)])
      case 2: y = b.node("MatMul", [x, b.weights16([k, n], axis: 1, isSigned: isSigned)])
      default: y = b.node("Add", [b.node("MatMul", [x, b.weights([k, n], axis: 1)]), b.bias(n)])
      }
      b.output(seed < 8 ? b.pair16(y, range: 20) : y)
      try compare(&b, inputs: [[m, k]], "seed \(seed)")
    }
  }

  @Test func productsOfActivations() throws {
    for seed in 0..<6 {
      var b = QDQBuilder(seed: UInt64(22_000 + seed))
      let (m, k, n) = (b.int(1...9), b.int(1...40), b.int(1...30))
      let left = seed == 4 ? b.pair(b.input([2, m, k])) : b.pair16(b.input([2, m, k]))
      let right = seed == 5 ? b.pair(b.input([1, k, n])) : b.pair16(b.input([1, k, n]))
      b.output(b.pair16(b.node("MatMul", [left, right]), range: 60))
      try compare(&b, inputs: [[2, m, k], [1, k, n]], "seed \(seed)")
    }
  }

  /// Everything else is fixed point between the codes.
  @Test(arguments: [
    "Add", "Sub", "Mul", "Concat", "Sigmoid", "Tanh", "Relu", "Clip", "LeakyRelu", "HardSwish", "MaxPool",
    "AveragePool",
    "GlobalAveragePool", "Transpose", "Reshape", "Softmax", "LayerNormalization", "ReduceMean", "Resize", "Pad",
  ]) func otherOperators(_ name: String) throws {
    var b = QDQBuilder(seed: 23_000)
    let shape = [2, 3, 4, 6]
    let x = b.pair16(b.input(shape))
    var inputs = [shape]
    let window = [Attribute("kernel_shape", ints: [2, 3]), Attribute("pads", ints: [1, 1, 0, 1])]
    var range: Float = 4
    // Functions are off by up to 2^-16 of their magnitude.
    var steps: Float = 1.01
    let y: Value
    switch name {
    case "Add", "Sub", "Mul", "Concat":
      inputs.append(shape)
      y = b.node(name, [x, b.pair16(b.input(shape))], name == "Concat" ? [Attribute("axis", int: 1)] : [])
      range = 9
    case "Sigmoid", "Tanh", "Softmax":
      y = b.node(name, [x])
      range = 1
      steps = 2.01
    case "HardSwish", "LeakyRelu":
      y = b.node(name, [x])
      steps = 2.01
    case "Clip":
      y = b.node(name, [x, b.constant("low", Tensor(scalar: Float(-1))), b.constant("high", Tensor(scalar: Float(2)))])
    case "MaxPool", "AveragePool": y = b.node(name, [x], window)
    case "Transpose": y = b.node(name, [x], [Attribute("perm", ints: [0, 2, 3, 1])])
    case "Reshape":
      y = b.node(name, [x, b.constant("shape", Tensor([Int64](arrayLiteral: 2, 12, -1), shape: [3]))])
    case "LayerNormalization":
      y = b.node(name, [x, b.constant("gamma", Tensor([Float](repeating: 1.25, count: 6), shape: [6]))])
    case "ReduceMean":
      y = b.node(name, [x, b.constant("axes", Tensor([Int64](arrayLiteral: 2, 3), shape: [2]))])
    case "Resize":
      let scales = b.constant("scales", Tensor([1, 1, 2, 1.5] as [Float], shape: [4]))
      y = b.node(name, [x, nil, scales], [Attribute("mode", .string(Array("linear".utf8)))])
    case "Pad":
      y = b.node(name, [x, b.constant("pads", Tensor([Int64](arrayLiteral: 0, 0, 1, 0, 0, 0, 0, 1), shape: [8]))])
    default: y = b.node(name, [x])
    }
    b.output(b.pair16(y, range: range))
    try compare(&b, inputs: inputs, steps: steps, share: nil, name)
  }

  /// Sums that do not fit their parts' 32 bits are refused by name.
  @Test func aPartThatCouldOverflowStaysFloat() throws {
    var b = QDQBuilder(seed: 24_000)
    let p = b.parameters(scale: 0.001, zero: 0, .uint16)
    let x = b.dequantize(b.quantize(b.input([1, 70_000]), p), p)
    let weights = Tensor([Int8](repeating: 127, count: 70_000), shape: [70_000, 1])
    let w = b.node("DequantizeLinear", [b.constant("w", weights), b.constant("s", Tensor(scalar: Float(0.0001)))])
    b.output(b.pair16(b.node("MatMul", [x, w])))
    let plan = try IntegerPlan(model: b.model(opset: 21))
    #expect(plan.islands.first?.opType == "MatMul")
    #expect(plan.islands.first?.reason.contains("beyond 32 bits") == true)
  }

  /// onnxruntime computes 16-bit models in float; so does the rule that follows it.
  @Test func theFloat32RuleLeavesThemFloat() throws {
    var b = QDQBuilder(seed: 25_000)
    let y = b.node("Conv", [b.pair16(b.input([1, 2, 4, 4])), b.weights([3, 2, 1, 1])])
    b.output(b.pair16(y))
    let model = b.model(opset: 21)
    let feeds = EngineFileTests.feeds([[1, 2, 4, 4]], seed: 1)
    let expected: [String: Tensor] = try FloatExecutor(model: model).run(feeds)
    let executor = try IntegerExecutor(model: model, options: IntegerOptions(rounding: .binary32))
    let got: [String: Tensor] = try executor.run(feeds)
    #expect(EngineFileTests.same(expected, got))
    #expect(executor.statistics.islands.map(\.opType) == ["Conv"])
  }
}
