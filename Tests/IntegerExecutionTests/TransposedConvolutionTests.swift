import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// ConvTranspose against fake quantization, and its engine against its plan.
@Suite struct TransposedConvolutionTests {
  @Test(arguments: 0..<40) func transposedConvolutions(_ seed: Int) throws {
    var b = QDQBuilder(seed: UInt64(30_000 + seed))
    let spatial = b.int(1...3)
    let groups = [1, 1, 2, 3][b.int(0...3)]
    let (channels, outputs) = (groups * b.int(1...5), groups * b.int(1...7))
    let shape = [b.int(1...2), channels] + (0..<spatial).map { _ in b.int(1...6) }
    let kernel = (0..<spatial).map { _ in b.int(1...4) }
    let strides = (0..<spatial).map { _ in b.int(1...4) }
    let dilations = seed % 3 == 0 ? (0..<spatial).map { _ in b.int(1...3) } : [Int](repeating: 1, count: spatial)
    let x = b.pair(b.input(shape))
    let wShape = [channels, outputs / groups] + kernel
    let w = b.weights(wShape, axis: 1)
    var attributes = [
      Attribute("group", int: groups), Attribute("strides", ints: strides), Attribute("dilations", ints: dilations),
    ]
    switch seed % 4 {
    case 0:
      // Pads that leave something of every extent.
      var pads: [Int] = []
      for d in 0..<spatial {
        let reach: Int = dilations[d] * (kernel[d] - 1)
        let natural: Int = strides[d] * (shape[2 + d] - 1) + reach + 1
        pads.append(min(b.int(0...2), reach, (natural - 1) / 2))
      }
      attributes.append(Attribute("pads", ints: pads + pads))
    case 1: attributes.append(Attribute("output_padding", ints: strides.map { b.int(0...$0 - 1) }))
    case 2: attributes.append(Attribute("auto_pad", .string(Array((seed % 8 == 2 ? "SAME_UPPER" : "SAME_LOWER").utf8))))
    default: attributes.append(Attribute("output_shape", ints: (0..<spatial).map { shape[2 + $0] * strides[$0] + 1 }))
    }
    var y = b.node("ConvTranspose", seed % 2 == 0 ? [x, w, b.bias(outputs)] : [x, w], attributes)
    if seed % 5 == 1 { y = b.node("Relu", [y]) }
    b.output(seed % 5 == 4 ? y : b.pair(y))
    if seed % 5 == 2 { b.output(b.pair(b.node("Tanh", [y]))) }
    let model = b.model()
    let float = try FloatExecutor(model: model)
    let executor = try IntegerExecutor(model: model, options: IntegerOptions(integerOnly: true))
    let engine = IntegerExecutor(
      plan: try EngineFile(.init(EngineFileTests.engine(model))).plan(), threads: ThreadPool(threads: 2))
    for sample in 0..<3 {
      let feeds = EngineFileTests.feeds([shape], seed: UInt64(sample))
      let expected: [String: Tensor] = try float.run(feeds)
      let got: [String: Tensor] = try executor.run(feeds)
      #expect(EngineFileTests.same(got, try engine.run(feeds)), "seed \(seed): the engine differs")
      for port in model.graph.outputs {
        let e = try #require(expected[port.value.name])
        let g = try #require(got[port.value.name])
        #expect(e.shape == g.shape, "seed \(seed)")
        let step =
          port.value.producer?.opType == "DequantizeLinear"
          ? port.value.producer?.input(1).flatMap { try? model.graph.initializer(for: $0)?.tensor().floats?.first }
          : nil
        let largest = e.array(Float.self).map(abs).max() ?? 0
        let bound = step.map { $0 * 1.01 } ?? (largest * 1e-4 + 1e-3)
        for (a, c) in zip(e.array(Float.self), g.array(Float.self)) {
          #expect(abs(a - c) <= bound, "seed \(seed): \(a) and \(c), bound \(bound)")
        }
      }
    }
    #expect(executor.statistics.islands.isEmpty)
    #expect(executor.statistics.share == 1)
    #expect(executor.statistics.macs == shape.reduce(1, *) * wShape.reduce(1, *) / channels, "seed \(seed)")
  }
}
