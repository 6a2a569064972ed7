import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Operators on codes: lowered as their Q/DQ form they give the same codes as that form, under both rules.
@Suite struct QuantizedOperatorTests {
  /// Two graphs of one network: operators on codes, and Q/DQ.
  private struct Twins {
    var codes: QDQBuilder
    var reals: QDQBuilder

    init(seed: UInt64) {
      codes = QDQBuilder(seed: seed)
      reals = QDQBuilder(seed: seed)
    }
  }

  private static let contrib = "com.microsoft"

  private func node(
    _ b: inout QDQBuilder, _ opType: String, _ inputs: [Value?], _ attributes: [Attribute] = [], domain: String? = nil
  ) -> Value {
    let output = b.fresh(opType.lowercased())
    b.graph.append(
      Node(opType, domain: domain, name: opType, inputs: inputs, outputs: [output], attributes: attributes))
    return output
  }

  private func compare(_ twins: Twins, inputs: [[Int]], _ label: String) throws {
    for rounding in [IntegerRoundingName.fixed, .float32] {
      let options = rounding.options
      let one = try IntegerExecutor(model: twins.codes.model(), options: options)
      let two = try IntegerExecutor(model: twins.reals.model(), options: options)
      #expect(one.plan.islands.isEmpty, "\(label): \(one.plan.islands)")
      let engine = IntegerExecutor(
        plan: try EngineFile(.init(EngineFileTests.engine(twins.codes.model(), options))).plan())
      for sample in 0..<2 {
        let feeds = EngineFileTests.feeds(inputs, seed: UInt64(sample))
        let a: [String: Tensor] = try one.run(feeds)
        let c: [String: Tensor] = try two.run(feeds)
        #expect(EngineFileTests.same(a, try engine.run(feeds)), "\(label): the engine differs")
        let x = try #require(a.values.first)
        let y = try #require(c.values.first)
        #expect(
          x.shape == y.shape && x.integers == y.integers && x.elementType == y.elementType, "\(label), \(rounding)")
      }
      #expect(one.statistics.macs == two.statistics.macs && one.statistics.share == 1, "\(label)")
    }
  }

  private enum IntegerRoundingName {
    case fixed, float32
    var options: IntegerOptions {
      var options = IntegerOptions()
      if case .float32 = self { options.rounding = .binary32 }
      return options
    }
  }

  @Test(arguments: [
    "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu",
    "QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearConcat", "MaxPool", "Transpose",
  ]) func eachIsItsQDQForm(_ name: String) throws {
    for seed in 0..<4 {
      var t = Twins(seed: UInt64(40_000 + seed))
      let isMatrix = name == "QLinearMatMul" || name == "QGemm"
      let shape = isMatrix ? [3, 10] : [1, 4, 6, 5]
      func both(_ body: (inout QDQBuilder) -> Value) -> (Value, Value) { (body(&t.codes), body(&t.reals)) }
      /// Parameters of the input, the second input and the output; the same in both graphs.
      func grid(_ b: inout QDQBuilder) -> [Value] { b.parameters(scale: 0.02 + Float(seed) * 0.004, zero: 7, .int8) }
      func other(_ b: inout QDQBuilder) -> [Value] { b.parameters(scale: 0.03, zero: -9, .int8) }
      func result(_ b: inout QDQBuilder) -> [Value] {
        b.parameters(scale: name == "QLinearSigmoid" ? 0.005 : 0.04, zero: 3, .int8)
      }
      func weight(_ b: inout QDQBuilder) -> [Value] {
        var random = SeededGenerator(seed: UInt64(seed))
        let size = isMatrix ? [10, 6] : [6, 4, 3, 3]
        let values = (0..<size.reduce(1, *)).map { _ in Int8.random(in: -127...127, using: &random) }
        return [
          b.constant("w", Tensor(values, shape: size)),
          b.constant("ws", Tensor((0..<6).map { 0.002 + 0.001 * Float($0) }, shape: [6])),
          b.constant("wz", Tensor([Int8](repeating: 0, count: 6), shape: [6])),
        ]
      }
      let bias = Tensor((0..<6).map { Int32($0 * 311 - 700) }, shape: [6])
      let window = [Attribute("kernel_shape", ints: [3, 2]), Attribute("pads", ints: [1, 0, 1, 1])]
      let (x, xReal) = both { $0.input(shape) }
      let (p, pReal) = (grid(&t.codes), grid(&t.reals))
      let (r, rReal) = (result(&t.codes), result(&t.reals))
      let codes = t.codes.quantize(x, p)
      let real = t.reals.dequantize(t.reals.quantize(xReal, pReal), pReal)
      var inputs = [shape]
      let y: Value
      var z: Value
      switch name {
      case "QLinearConv", "QLinearMatMul", "QGemm":
        let (w, wReal) = (weight(&t.codes), weight(&t.reals))
        let axis = isMatrix ? 1 : 0
        let weights = node(&t.reals, "DequantizeLinear", wReal, [Attribute("axis", int: axis)])
        let scales = (0..<6).map { (0.02 + Float(seed) * 0.004) * (0.002 + 0.001 * Float($0)) }
        let biasReal = node(
          &t.reals, "DequantizeLinear",
          [t.reals.constant("b", bias), t.reals.constant("bs", Tensor(scales, shape: [6]))], [Attribute("axis", int: 0)]
        )
        let b = t.codes.constant("b", bias)
        switch name {
        case "QLinearConv":
          y = node(&t.codes, name, [codes] + p + w + r + [b], [Attribute("pads", ints: [1, 1, 1, 1])])
          z = node(&t.reals, "Conv", [real, weights, biasReal], [Attribute("pads", ints: [1, 1, 1, 1])])
        case "QGemm":
          y = node(&t.codes, name, [codes] + p + w + [b] + r, domain: Self.contrib)
          z = node(&t.reals, "Gemm", [real, weights, biasReal])
        default:
          y = node(&t.codes, name, [codes] + p + w + r)
          z = node(&t.reals, "MatMul", [real, weights])
        }
      case "QLinearAdd", "QLinearMul", "QLinearConcat":
        let (x2, x2Real) = both { $0.input(shape) }
        inputs.append(shape)
        let (p2, p2Real) = (other(&t.codes), other(&t.reals))
        let codes2 = t.codes.quantize(x2, p2)
        let real2 = t.reals.dequantize(t.reals.quantize(x2Real, p2Real), p2Real)
        if name == "QLinearConcat" {
          y = node(&t.codes, name, r + [codes] + p + [codes2] + p2, [Attribute("axis", int: 1)], domain: Self.contrib)
          z = node(&t.reals, "Concat", [real, real2], [Attribute("axis", int: 1)])
        } else {
          y = node(&t.codes, name, [codes] + p + [codes2] + p2 + r, domain: Self.contrib)
          z = node(&t.reals, String(name.dropFirst(7)), [real, real2])
        }
      case "MaxPool", "Transpose":
        let attributes = name == "MaxPool" ? window : [Attribute("perm", ints: [0, 2, 3, 1])]
        y = node(&t.codes, "QLinearSigmoid", [node(&t.codes, name, [codes], attributes)] + p + r, domain: Self.contrib)
        z = node(&t.reals, name, [real], attributes)
        z = t.reals.dequantize(t.reals.quantize(z, pReal), pReal)
        z = node(&t.reals, "Sigmoid", [z])
      default:
        let attributes =
          name == "QLinearAveragePool" ? window : name == "QLinearLeakyRelu" ? [Attribute("alpha", float: 0.2)] : []
        y = node(&t.codes, name, [codes] + p + r, attributes, domain: Self.contrib)
        z = node(&t.reals, String(name.dropFirst(7)), [real], attributes)
      }
      t.codes.graph.outputs.append(Graph.Port(y))
      t.reals.graph.outputs.append(Graph.Port(t.reals.quantize(z, rReal)))
      try compare(t, inputs: inputs, "\(name) \(seed)")
    }
  }

  /// MatMulInteger and ConvInteger give the operators' own sums, with zero points that are constants or computed.
  @Test func sumsOfTheGraph() throws {
    for seed in 0..<4 {
      for name in ["MatMulInteger", "ConvInteger"] {
        var b = QDQBuilder(seed: UInt64(41_000 + seed))
        let shape = name == "MatMulInteger" ? [2, 3, 11] : [2, 4, 6, 5]
        let x = b.input(shape)
        let isSigned = seed % 2 == 1
        var codes: Value
        var zero: Value
        if isSigned {
          let p = b.parameters(scale: 0.03, zero: -5, .int8)
          codes = b.quantize(x, p)
          zero = p[1]
        } else {
          codes = b.fresh("codes")
          zero = b.fresh("zero")
          b.graph.append(Node("DynamicQuantizeLinear", inputs: [x], outputs: [codes, b.fresh("scale"), zero]))
        }
        let size = name == "MatMulInteger" ? [11, 7] : [5, 4, 3, 2]
        let values = (0..<size.reduce(1, *)).map { _ in UInt8(clamping: b.int(0...255)) }
        let w = b.constant("w", Tensor(values, shape: size))
        let y = node(&b, name, [codes, w, zero, b.constant("wz", Tensor(scalar: UInt8(100)))])
        b.graph.outputs.append(Graph.Port(y))
        let model = b.model()
        let executor = try IntegerExecutor(model: model)
        let engine = IntegerExecutor(plan: try EngineFile(.init(EngineFileTests.engine(model))).plan())
        for sample in 0..<3 {
          let feeds = EngineFileTests.feeds([shape], seed: UInt64(sample))
          let expected: [String: Tensor] = try FloatExecutor(model: model).run(feeds)
          let got: [String: Tensor] = try executor.run(feeds)
          #expect(EngineFileTests.same(expected, got), "\(name) \(seed)")
          #expect(EngineFileTests.same(expected, try engine.run(feeds)), "\(name) \(seed): the engine differs")
        }
        #expect(executor.statistics.share == 1)
      }
    }
  }
}
