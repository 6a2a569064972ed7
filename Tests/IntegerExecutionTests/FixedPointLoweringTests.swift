import FloatExecution
import FloatKernels
import Foundation
import IntegerExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Regions without an inner Q/DQ, as fusing engines are given them: in integers to the last node.
@Suite struct FixedPointLoweringTests {
  /// Fake quantization and the integer executor differ by one step of the last Q at most; a head by what rounding its bias
  /// to S_x S_w costs, up to 2.5e-4 here.
  @discardableResult
  private func compare(
    _ b: inout QDQBuilder, inputs: [[Int]], head: Float = 3e-4, others: [String: Tensor] = [:], _ label: String
  ) throws -> IntegerExecutor {
    let model = b.model()
    let float = try FloatExecutor(model: model)
    // Nothing stays float.
    let executor = try IntegerExecutor(model: model, options: IntegerOptions(integerOnly: others.isEmpty))
    let threaded = try IntegerExecutor(model: model, threads: ThreadPool(threads: 3))
    for _ in 0..<3 {
      var feeds = others
      for (index, shape) in inputs.enumerated() {
        feeds["x\(index)"] = Tensor((0..<shape.reduce(1, *)).map { _ in b.real(-3...3) }, shape: shape)
      }
      let expected: [String: Tensor] = try float.run(feeds)
      let got: [String: Tensor] = try executor.run(feeds)
      let again: [String: Tensor] = try threaded.run(feeds)
      for port in model.graph.outputs {
        let e = try #require(expected[port.value.name])
        let g = try #require(got[port.value.name])
        #expect(e.shape == g.shape, "\(label)")
        #expect(g.array(Float.self) == again[port.value.name]?.array(Float.self), "\(label): threads")
        let step =
          port.value.producer?.opType == "DequantizeLinear"
          ? try #require(
            port.value.producer?.input(1).flatMap { try model.graph.initializer(for: $0)?.tensor().floats?.first })
          : nil
        var off = 0
        for (x, y) in zip(e.array(Float.self), g.array(Float.self)) {
          let bound = step.map { $0 * 1.01 } ?? head * max(1, abs(x))
          #expect(abs(x - y) <= bound, "\(label): \(x) and \(y), bound \(bound)")
          if abs(x - y) > bound * 0.01 { off += 1 }
        }
        if step != nil { #expect(off * 50 <= e.count + 50, "\(label): \(off) of \(e.count) differ") }
      }
    }
    #expect(executor.statistics.islands.isEmpty, "\(label): \(executor.statistics.islands)")
    #expect(executor.statistics.share == 1, "\(label)")
    return executor
  }

  private func convolution(_ b: inout QDQBuilder, _ x: Value, _ channels: Int) -> Value {
    b.node(
      "Conv", [x, b.weights([channels, channels, 3, 3]), b.bias(channels)], [Attribute("pads", ints: [1, 1, 1, 1])])
  }

  private func silu(_ b: inout QDQBuilder, _ x: Value) -> Value { b.node("Mul", [x, b.node("Sigmoid", [x])]) }

  private func gelu(_ b: inout QDQBuilder, _ x: Value) -> Value {
    let scaled = b.node("Div", [x, b.constant("root", Tensor(scalar: Float(2).squareRoot()))])
    let sum = b.node("Add", [b.node("Erf", [scaled]), b.constant("one", Tensor(scalar: Float(1)))])
    return b.node("Mul", [b.node("Mul", [x, sum]), b.constant("half", Tensor(scalar: Float(0.5)))])
  }

  @Test func activationTails() throws {
    let names = ["SiLU", "GELU", "Tanh", "HardSwish", "LeakyRelu", "Softplus", "Elu", "Mish", "PRelu"]
    for (index, name) in names.enumerated() {
      for isHead in [false, true] {
        var b = QDQBuilder(seed: UInt64(100 + index))
        let shape = [2, 5, 6, 7]
        let conv = convolution(&b, b.pair(b.input(shape)), 5)
        let y: Value
        switch name {
        case "SiLU": y = silu(&b, conv)
        case "GELU": y = gelu(&b, conv)
        case "PRelu": y = b.node(name, [conv, b.constant("slope", Tensor(scalar: Float(0.2)))])
        default: y = b.node(name, [conv])
        }
        b.output(isHead ? y : b.pair(y))
        try compare(&b, inputs: [shape], "\(name) \(isHead)")
      }
    }
  }

  /// YOLOX's block for TensorRT: SiLU(conv) + SiLU(conv), joined with another branch, one Q at the end.
  @Test func sumsAndJoinsOfTails() throws {
    for seed in 0..<4 {
      var b = QDQBuilder(seed: UInt64(200 + seed))
      let shape = [1, 6, 5, 4]
      let x = b.pair(b.input(shape))
      let left = silu(&b, convolution(&b, x, 6))
      let right = silu(&b, convolution(&b, x, 6))
      let sum = b.node("Add", [left, right])
      let joined = b.node("Concat", [sum, right, x], [Attribute("axis", int: 1)])
      b.output(b.pair(joined))
      b.output(b.pair(b.node("Relu", [sum])))
      try compare(&b, inputs: [shape], "seed \(seed)")
    }
  }

  /// A product read by two quantizations of different scales, and as a head, is computed once.
  @Test func productsWithSeveralReaders() throws {
    var b = QDQBuilder(seed: 300)
    let shape = [1, 4, 5, 5]
    let conv = convolution(&b, b.pair(b.input(shape)), 4)
    b.output(b.pair(conv))
    b.output(b.pair(b.node("Relu", [conv])))
    b.output(conv)
    let executor = try compare(&b, inputs: [shape], "readers")
    #expect(executor.statistics.macs == 4 * 4 * 9 * 25)
  }

  @Test func attention() throws {
    for seed in 0..<3 {
      var b = QDQBuilder(seed: UInt64(400 + seed))
      let shape = [1, 2, 7, 16]
      let q = b.pair(b.input(shape))
      let k = b.pair(b.input([1, 2, 16, 7]))
      var scores = b.node("MatMul", [q, k])
      scores = b.node("Div", [scores, b.constant("root", Tensor(scalar: Float(4)))])
      var others: [String: Tensor] = [:]
      if seed > 0 {
        // The additive mask of the exporters: zero, or the lowest float32.
        let mask = Value("mask", type: .tensor(.float32, [1, 1, 1, 7]))
        b.graph.inputs.append(Graph.Port(mask))
        others["mask"] = Tensor([0, 0, 0, 0, 0, -Float.greatestFiniteMagnitude, -Float.infinity], shape: [1, 1, 1, 7])
        scores = b.node("Add", [scores, mask])
      }
      let weights = b.node("Softmax", [scores], [Attribute("axis", int: -1)])
      let p = b.parameters(scale: 1 / 255, zero: 0, .uint8)
      b.output(b.dequantize(b.quantize(weights, p), p))
      try compare(&b, inputs: [shape, [1, 2, 16, 7]], others: others, "seed \(seed)")
    }
  }

  @Test func normalizationOfAResidual() throws {
    for isHead in [false, true] {
      var b = QDQBuilder(seed: 500)
      let x = b.pair(b.input([2, 5, 24]))
      let product = b.node("Add", [b.node("MatMul", [x, b.weights([24, 24], axis: 1)]), b.bias(24)])
      let sum = b.node("Add", [product, x])
      let gamma = b.constant("gamma", Tensor((0..<24).map { _ in b.real(0.5...1.5) }, shape: [24]))
      let y = b.node(
        "LayerNormalization", [sum, gamma, b.bias(24)],
        [Attribute("axis", int: -1), Attribute("epsilon", float: 1e-12)])
      b.output(isHead ? y : b.pair(y))
      try compare(&b, inputs: [[2, 5, 24]], "head \(isHead)")
    }
  }

  @Test func poolsAndMovementOfTails() throws {
    var b = QDQBuilder(seed: 600)
    let shape = [1, 4, 6, 6]
    let y = silu(&b, convolution(&b, b.pair(b.input(shape)), 4))
    let padded = b.node(
      "Pad", [y, b.constant("pads", Tensor([Int64](arrayLiteral: 0, 0, 1, 1, 0, 0, 1, 1), shape: [8]))])
    let window = [
      Attribute("kernel_shape", ints: [3, 2]), Attribute("strides", ints: [2, 1]),
      Attribute("pads", ints: [1, 0, 1, 1]),
    ]
    b.output(b.pair(b.node("AveragePool", [padded], window)))
    b.output(b.pair(b.node("AveragePool", [padded], window + [Attribute("count_include_pad", int: 1)])))
    b.output(b.pair(b.node("GlobalAveragePool", [y])))
    b.output(b.node("ReduceMean", [y], [Attribute("axes", ints: [1])]))
    b.output(b.node("Transpose", [b.node("Sigmoid", [y])], [Attribute("perm", ints: [0, 2, 3, 1])]))
    try compare(&b, inputs: [shape], "pools")
  }

  @Test func windowsAndSlopesOfTails() throws {
    var b = QDQBuilder(seed: 650)
    let shape = [1, 4, 6, 5]
    let y = silu(&b, convolution(&b, b.pair(b.input(shape)), 4))
    let window = [
      Attribute("kernel_shape", ints: [3, 2]), Attribute("strides", ints: [2, 1]),
      Attribute("pads", ints: [1, 0, 1, 1]),
    ]
    b.output(b.pair(b.node("MaxPool", [y], window)))
    b.output(b.node("GlobalMaxPool", [y]))
    let slopes = b.constant("slope", Tensor([Float(0.2), -0.1, 1.5, 0], shape: [4, 1, 1]))
    b.output(b.pair(b.node("PRelu", [y, slopes])))
    try compare(&b, inputs: [shape], "windows")
  }

  /// One, two and three spatial axes; scales and sizes; each way to lay the places.
  @Test func linearResizing() throws {
    let ways = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    for seed in 0..<16 {
      var b = QDQBuilder(seed: UInt64(660 + seed))
      let spatial = 1 + seed % 3
      let shape = [2, 3] + (0..<spatial).map { _ in b.int(1...5) }
      let x = b.pair(b.input(shape))
      var inputs: [Value?]
      if seed % 2 == 0 {
        let choices: [Float] = [2, 1.5, 3, 0.5, 1, 4.0 / 3]
        let scales: [Float] = [1, 1] + (0..<spatial).map { _ in choices[b.int(0...5)] }
        // Nothing is resized to nothing.
        let kept = zip(scales, shape).map { (scale, extent) -> Float in scale * Float(extent) < 1 ? 1 : scale }
        inputs = [x, nil, b.constant("scales", Tensor(kept, shape: [spatial + 2]))]
      } else {
        let sizes: [Int64] = [2, 3] + (0..<spatial).map { _ in Int64(b.int(1...9)) }
        inputs = [x, nil, nil, b.constant("sizes", Tensor(sizes, shape: [spatial + 2]))]
      }
      let y = b.node(
        "Resize", inputs,
        [
          Attribute("mode", .string(Array("linear".utf8))),
          Attribute("coordinate_transformation_mode", .string(Array(ways[seed / 4].utf8))),
        ])
      b.output(seed % 5 == 4 ? y : b.pair(y))
      try compare(&b, inputs: [shape], "seed \(seed)")
    }
  }

  /// Channels whose weights are next to nothing beside their bias, as trained networks have them.
  @Test func biasesFarAboveTheWeights() throws {
    for scale in [Float(1e-14), 1e-9] {
      var b = QDQBuilder(seed: 700)
      let x = b.pair(b.input([1, 3, 5, 5]))
      let values = (0..<12).map { _ in Int8(clamping: b.int(-127...127)) }
      let w = b.node(
        "DequantizeLinear",
        [
          b.constant("w", Tensor(values, shape: [4, 3, 1, 1])),
          b.constant("s", Tensor([0.01, scale, 0.02, scale * 3], shape: [4])),
        ], [Attribute("axis", int: 0)])
      let y = b.node("Conv", [x, w, b.constant("bias", Tensor([Float(0.3), -2.4, 0.1, 1.7], shape: [4]))])
      b.output(b.pair(b.node("Clip", [y, b.constant("low", Tensor(scalar: Float(-1))), nil])))
      try compare(&b, inputs: [[1, 3, 5, 5]], "scale \(scale)")
    }
  }
}
