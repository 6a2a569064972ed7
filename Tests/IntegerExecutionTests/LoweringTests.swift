import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// One region at a time: the integer executor against fake quantization, where both round the same real once, so that
/// they differ by one step at most, and seldom.
@Suite struct LoweringTests {
  /// Runs both; checks the step bound on every output and returns the plan.
  @discardableResult
  private func compare(
    _ b: inout QDQBuilder, inputs: [[Int]], islands: [String] = [], steps: Float = 1.01, share: Double? = 1,
    _ label: String
  ) throws -> IntegerExecutor {
    let model = b.model()
    let float = try FloatExecutor(model: model)
    let executor = try IntegerExecutor(model: model)
    let threaded = try IntegerExecutor(model: model, threads: ThreadPool(threads: 3))
    for _ in 0..<3 {
      var feeds: [String: Tensor] = [:]
      for (index, shape) in inputs.enumerated() {
        feeds["x\(index)"] = Tensor((0..<shape.reduce(1, *)).map { _ in b.real(-3...3) }, shape: shape)
      }
      let expected: [String: Tensor] = try float.run(feeds)
      let got: [String: Tensor] = try executor.run(feeds)
      let again: [String: Tensor] = try threaded.run(feeds)
      for port in model.graph.outputs {
        let name = port.value.name
        let e = try #require(expected[name])
        let g = try #require(got[name])
        #expect(e.shape == g.shape, "\(label): \(name)")
        #expect(g.array(Float.self) == again[name]?.array(Float.self), "\(label): threads change \(name)")
        // The step of the last quantization, or for a head a relative bound on the float executor's own rounding.
        let step =
          port.value.producer?.opType == "DequantizeLinear"
          ? try #require(
            port.value.producer?.input(1).flatMap { try model.graph.initializer(for: $0)?.tensor().floats?.first })
          : nil
        let largest = e.array(Float.self).map(abs).max() ?? 0
        let bound = step.map { $0 * steps } ?? (largest * 1e-4 + 1e-5)
        var off = 0
        for (x, y) in zip(e.array(Float.self), g.array(Float.self)) {
          #expect(abs(x - y) <= bound, "\(label): \(name): \(x) and \(y), bound \(bound)")
          if abs(x - y) > bound * 0.01 { off += 1 }
        }
        if step != nil { #expect(off * 50 <= e.count + 50, "\(label): \(off) of \(e.count) differ") }
      }
    }
    #expect(executor.statistics.islands.map(\.opType) == islands, "\(label): \(executor.statistics.islands)")
    if let share { #expect(executor.statistics.share == share, "\(label)") }
    return executor
  }

  @Test(arguments: 0..<24) func convolutions(_ seed: Int) throws {
    var b = QDQBuilder(seed: UInt64(seed))
    let spatial = b.int(1...3)
    let groups = [1, 1, 2, 4][b.int(0...3)]
    let channels = groups * b.int(1...5)
    let outputs = groups * b.int(1...9)
    let shape = [b.int(1...2), channels] + (0..<spatial).map { _ in b.int(5...9) }
    let x = b.pair(b.input(shape))
    let kernel = (0..<spatial).map { _ in b.int(1...3) }
    let w = b.weights([outputs, channels / groups] + kernel)
    let pads = (0..<2 * spatial).map { _ in b.int(0...1) }
    var attributes = [Attribute("group", int: groups), Attribute("pads", ints: pads)]
    if seed % 3 == 0 { attributes.append(Attribute("strides", ints: (0..<spatial).map { _ in b.int(1...2) })) }
    if seed % 4 == 0 { attributes.append(Attribute("dilations", ints: (0..<spatial).map { _ in b.int(1...2) })) }
    var y = b.node("Conv", seed % 2 == 0 ? [x, w, b.bias(outputs)] : [x, w], attributes)
    if seed % 3 == 1 { y = b.node("Relu", [y]) }
    if seed % 3 == 2 {
      y = b.node(
        "Clip", [y, b.constant("low", Tensor(scalar: Float(-0.5))), b.constant("high", Tensor(scalar: Float(0.75)))])
    }
    b.output(seed % 5 == 4 ? y : b.pair(y))
    try compare(&b, inputs: [shape], "seed \(seed)")
  }

  @Test func depthwise() throws {
    for seed in 0..<6 {
      var b = QDQBuilder(seed: UInt64(1000 + seed))
      let channels = b.int(2...80)
      let shape = [1, channels, b.int(4...12), b.int(4...12)]
      let x = b.pair(b.input(shape))
      let y = b.node(
        "Conv", [x, b.weights([channels, 1, 3, 3]), b.bias(channels)],
        [
          Attribute("group", int: channels), Attribute("pads", ints: [1, 1, 1, 1]),
          Attribute("strides", ints: seed % 2 == 0 ? [1, 1] : [2, 2]),
        ])
      b.output(b.pair(b.node("Relu", [y])))
      try compare(&b, inputs: [shape], "seed \(seed)")
    }
  }

  @Test func matrixProducts() throws {
    for seed in 0..<12 {
      var b = QDQBuilder(seed: UInt64(2000 + seed))
      let (m, k, n) = (b.int(1...7), b.int(1...70), b.int(1...70))
      let x = b.pair(b.input([m, k]))
      let y: Value
      switch seed % 4 {
      case 0: y = b.node("Gemm", [x, b.weights([k, n], axis: 1), b.bias(n)])
      case 1: y = b.node("Gemm", [x, b.weights([n, k]), b.bias(n)], [Attribute("transB", int: 1)])
      case 2: y = b.node("MatMul", [x, b.weights([k, n], axis: 1)])
      default: y = b.node("Add", [b.node("MatMul", [x, b.weights([k, n], axis: 1)]), b.bias(n)])
      }
      b.output(seed < 8 ? b.pair(y, 0.03...0.08) : y)
      try compare(&b, inputs: [[m, k]], "seed \(seed)")
    }
  }

  @Test func productsOfActivations() throws {
    for seed in 0..<6 {
      var b = QDQBuilder(seed: UInt64(3000 + seed))
      let (batch, m, k, n) = (b.int(1...3), b.int(1...9), b.int(1...40), b.int(1...40))
      let left = b.pair(b.input([batch, 2, m, k]))
      let right = b.pair(b.input([1, 2, k, n]))
      b.output(b.pair(b.node("MatMul", [left, right]), 0.05...0.2))
      try compare(&b, inputs: [[batch, 2, m, k], [1, 2, k, n]], "seed \(seed)")
    }
  }

  /// TensorRT's placement: no Q between the convolution, the residual and the activation.
  @Test func residualsAreRoundedOnce() throws {
    for seed in 0..<8 {
      var b = QDQBuilder(seed: UInt64(4000 + seed))
      let channels = b.int(1...40)
      let shape = [2, channels, 6, 5]
      let x = b.pair(b.input(shape))
      let conv = b.node(
        "Conv", [x, b.weights([channels, channels, 3, 3]), b.bias(channels)], [Attribute("pads", ints: [1, 1, 1, 1])])
      let residual = b.pair(b.input(seed % 3 == 0 ? [1, channels, 1, 1] : shape))
      var y = b.node("Add", seed % 2 == 0 ? [conv, residual] : [residual, conv])
      if seed % 2 == 0 { y = b.node("Relu", [y]) }
      b.output(b.pair(y))
      try compare(&b, inputs: [shape, seed % 3 == 0 ? [1, channels, 1, 1] : shape], "seed \(seed)")
    }
  }

  @Test func elementwise() throws {
    for (index, opType) in ["Add", "Sub", "Mul"].enumerated() {
      for seed in 0..<4 {
        var b = QDQBuilder(seed: UInt64(5000 + 10 * index + seed))
        let shape = [2, 3, 4, 5]
        let other = seed == 1 ? [3, 1, 1] : seed == 2 ? [1] : shape
        let y = b.node(opType, [b.pair(b.input(shape)), b.pair(b.input(other))])
        b.output(b.pair(y))
        try compare(&b, inputs: [shape, other], share: nil, "\(opType) \(seed)")
      }
    }
  }

  /// Any function of one quantized tensor is a table; the values are the operators' own.
  @Test func functionsAreTables() throws {
    for (index, names) in [
      ["Sigmoid"], ["Tanh"], ["HardSwish"], ["LeakyRelu"], ["Exp"], ["Sigmoid", "*"], ["Relu", "Sqrt"], ["Elu"],
    ].enumerated() {
      var b = QDQBuilder(seed: UInt64(6000 + index))
      let shape = [1, 3, 4, 4]
      let x = b.pair(b.input(shape))
      var y = x
      for name in names { y = name == "*" ? b.node("Mul", [x, y]) : b.node(name, [y]) }
      b.output(b.pair(y))
      try compare(&b, inputs: [shape], steps: 0.001, share: nil, names.joined())
    }
  }

  @Test func poolsAndMeans() throws {
    let two = [
      Attribute("kernel_shape", ints: [2, 3]), Attribute("strides", ints: [2, 1]),
      Attribute("pads", ints: [1, 1, 0, 1]),
    ]
    let cases: [(String, [Attribute])] = [
      ("MaxPool", two), ("AveragePool", two), ("AveragePool", two + [Attribute("count_include_pad", int: 1)]),
      ("GlobalAveragePool", []), ("GlobalMaxPool", []), ("ReduceMean", [Attribute("axes", ints: [2, 3])]),
      ("ReduceMean", [Attribute("axes", ints: [1, -1]), Attribute("keepdims", int: 0)]),
    ]
    for (index, (name, attributes)) in cases.enumerated() {
      for isAfterConv in [false, true] where !isAfterConv || name == "MaxPool" {
        var b = QDQBuilder(seed: UInt64(7000 + index))
        let shape = [2, 5, 6, 7]
        var x = b.pair(b.input(shape))
        if isAfterConv { x = b.node("Relu", [b.node("Conv", [x, b.weights([6, 5, 1, 1])])]) }
        b.output(b.pair(b.node(name, [x], attributes)))
        try compare(&b, inputs: [shape], share: nil, "\(name) \(index)")
      }
    }
  }

  @Test func movementCostsNoRounding() throws {
    var b = QDQBuilder(seed: 8000)
    let shape = [1, 4, 6, 6]
    let p = b.parameters(scale: 0.02, zero: 3, .int8)
    var y = b.dequantize(b.quantize(b.input(shape), p), p)
    y = b.node("Pad", [y, b.constant("pads", Tensor([Int64](arrayLiteral: 0, 0, 1, 0, 0, 0, 0, 1), shape: [8]))])
    y = b.dequantize(b.quantize(y, p), p)
    y = b.node("Transpose", [y], [Attribute("perm", ints: [0, 2, 3, 1])])
    y = b.node("Reshape", [y, b.constant("shape", Tensor([Int64](arrayLiteral: 1, -1, 4), shape: [3]))])
    y = b.dequantize(b.quantize(y, p), p)
    b.output(y)
    try compare(&b, inputs: [shape], steps: 0, share: nil, "movement")
  }

  @Test func concatenationRescales() throws {
    for axis in [0, 1, 2, -1] {
      var b = QDQBuilder(seed: UInt64(9000 + axis + 1))
      let shape = [2, 3, 4, 5]
      let x = b.pair(b.input(shape))
      let conv = b.node("Conv", [x, b.weights([3, 3, 1, 1])])
      b.output(b.pair(b.node("Concat", [x, b.pair(b.input(shape)), conv], [Attribute("axis", int: axis)])))
      try compare(&b, inputs: [shape, shape], "axis \(axis)")
    }
  }

  /// What integers do not reach is run in float, and said so.
  @Test func floatIslandsAreListed() throws {
    var b = QDQBuilder(seed: 10000)
    let x = b.pair(b.input([2, 3, 4, 4]))
    let y = b.node("Conv", [x, b.constant("w", Tensor([Float](repeating: 0.1, count: 9), shape: [3, 3, 1, 1]))])
    b.output(b.pair(b.node("Hardmax", [b.pair(y)])))
    let executor = try compare(&b, inputs: [[2, 3, 4, 4]], islands: ["Conv", "Hardmax"], share: 0, "islands")
    #expect(executor.statistics.islands.first?.macs == 2 * 3 * 3 * 16)
    #expect(executor.statistics.islands.first?.reason == "its weights are not quantized")
    #expect(throws: ExecutionError.self) {
      try IntegerPlan(model: b.model(), options: IntegerOptions(integerOnly: true))
    }
  }

  @Test func anAccumulatorThatCouldOverflowStaysFloat() throws {
    var b = QDQBuilder(seed: 10001)
    let p = b.parameters(scale: 0.02, zero: 0, .uint8)
    let x = b.dequantize(b.quantize(b.input([1, 70000]), p), p)
    let weights = Tensor([Int8](repeating: 127, count: 70000), shape: [70000, 1])
    let w = b.node("DequantizeLinear", [b.constant("w", weights), b.constant("s", Tensor(scalar: Float(0.0001)))])
    b.output(b.pair(b.node("MatMul", [x, w]), 1...2))
    let plan = try IntegerPlan(model: b.model())
    #expect(plan.islands.first?.opType == "MatMul")
    #expect(plan.islands.first?.reason.contains("beyond 32 bits") == true)
  }

  @Test func tapsSeeDequantizedTensors() throws {
    var b = QDQBuilder(seed: 10002)
    let x = b.pair(b.input([1, 3, 5, 5]))
    let conv = b.node("Conv", [x, b.weights([4, 3, 3, 3])])
    let relu = b.node("Relu", [conv])
    let out = b.pair(relu)
    b.output(b.node("Softmax", [out]))
    let model = b.model()
    let executor = try IntegerExecutor(model: model)
    var seen: [String: Tensor] = [:]
    let feed = Tensor((0..<75).map { _ in b.real(-2...2) }, shape: [1, 3, 5, 5])
    let _: [String: Tensor] = try executor.run(["x0": feed], tap: { seen[$0.name] = $1.tensor })
    #expect(seen[out.name]?.shape == [1, 4, 3, 3])
    #expect(seen[relu.name]?.array(Float.self) == seen[out.name]?.array(Float.self) || seen[relu.name] == nil)
    #expect(seen["x0"] != nil)
    let scale = try #require(relu.quantizationScale(in: model.graph))
    let values = try #require(seen[out.name]?.array(Float.self))
    #expect(values.allSatisfy { abs(($0 / scale).rounded() * scale - $0) < 1e-4 })
  }

  @Test func tiesAreCountedAndTheFloat32RuleIsAMode() throws {
    var b = QDQBuilder(seed: 10003)
    let p = b.parameters(scale: 0.5, zero: 0, .int8)
    let x = b.dequantize(b.quantize(b.input([64, 32]), p), p)
    b.output(b.pair(b.node("MatMul", [x, b.weights([32, 16], axis: 1)]), 0.3...0.4))
    let model = b.model()
    let feed = ["x0": Tensor((0..<2048).map { _ in b.real(-60...60) }, shape: [64, 32])]
    let fixed = try IntegerExecutor(model: model, options: IntegerOptions(countsTies: true))
    let plain = try IntegerExecutor(model: model)
    let float32 = try IntegerExecutor(model: model, options: IntegerOptions(rounding: .binary32))
    let a: [String: Tensor] = try fixed.run(feed)
    let c: [String: Tensor] = try plain.run(feed)
    let d: [String: Tensor] = try float32.run(feed)
    let name = model.graph.outputs[0].value.name
    #expect(a[name]?.array(Float.self) == c[name]?.array(Float.self))
    let differing = zip(a[name]!.array(Float.self), d[name]!.array(Float.self)).count { $0 != $1 }
    #expect(fixed.statistics.ties == differing)
  }

  @Test func badInputsAreErrors() throws {
    var b = QDQBuilder(seed: 10004)
    let x = b.pair(b.input([1, 3, 5, 5]))
    b.output(b.pair(b.node("Conv", [x, b.weights([4, 3, 3, 3])])))
    let executor = try IntegerExecutor(model: b.model())
    let empty: [String: Tensor] = [:]
    #expect(throws: ExecutionError.self) { let _: [String: Tensor] = try executor.run(empty) }
    #expect(throws: ExecutionError.self) {
      let _: [String: Tensor] = try executor.run(["x0": Tensor([Float](repeating: 0, count: 25), shape: [1, 1, 5, 5])])
    }
    #expect(throws: ExecutionError.self) {
      let _: [String: Tensor] = try executor.run(["y": Tensor(scalar: Float(0))])
    }
  }
}
