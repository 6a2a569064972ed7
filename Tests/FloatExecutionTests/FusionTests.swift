import FloatExecution
import FloatKernels
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Joined nodes give the bits of the nodes one by one, whatever is looked at.
@Suite struct FusionTests {
  private func random(_ shape: [Int], seed: UInt64) -> Tensor {
    var random = SeededGenerator(seed: seed)
    return Tensor((0..<shape.reduce(1, *)).map { _ in Float.random(in: -2...2, using: &random) }, shape: shape)
  }

  /// What a tap sees and what comes out of runs without a tap in which every third value, by turns, is an output.
  private func checkIntermediates(of load: () throws -> Model, inputs: [String: Tensor]) throws {
    let model = try load()
    var seen: [String: Tensor] = [:]
    let _: [String: Tensor] = try FloatExecutor(model: model).run(inputs) { value, result in
      seen[value.name] = result.tensor
    }
    let names = model.graph.nodes.flatMap { $0.outputs.compactMap { $0?.name } }.filter { seen[$0] != nil }
    #expect(!names.isEmpty)
    for turn in 0..<3 {
      let changed = try load()
      let wanted = Set(names.indices.filter { $0 % 3 == turn }.map { names[$0] })
      for node in changed.graph.nodes {
        for value in node.outputs.compactMap({ $0 }) where wanted.contains(value.name) {
          if !changed.graph.isOutput(value) { changed.graph.outputs.append(Graph.Port(value)) }
        }
      }
      let results: [String: Tensor] = try FloatExecutor(model: changed, threads: ThreadPool(threads: turn + 1)).run(
        inputs)
      for name in wanted {
        let (tensor, other) = (try #require(seen[name]), try #require(results[name], "\(name)"))
        #expect(other.isIdentical(to: tensor), "\(name)")
      }
    }
  }

  @Test(arguments: [
    "mnist-8/mnist.onnx", "cifar10-resnet20/resnet20.onnx", "cifar10-resnet20/resnet20_bn.onnx",
    "tiny-ic-resnet8/resnet8.onnx", "mobilenetv1-025-imagenet/mobilenet_v1_0.25_224_nchw.onnx",
    "yolox-nano/yolox_nano.onnx", "fastestdet/FastestDet.onnx", "ultraface-rfb-320/version-RFB-320.onnx",
    "tiny-vww/vww_96.onnx", "tiny-kws/kws_ref.onnx",
  ])
  func everyIntermediateOfRealModels(path: String) throws {
    guard let path = TestFiles.sharedModel(path) else { return }
    let model = try ModelDecoder.load(path: path)
    var inputs: [String: Tensor] = [:]
    for (index, port) in model.graph.inputs.enumerated() where model.graph.initializer(for: port.value) == nil {
      let shape = try #require(port.info.type?.tensorType?.shape).map { dimension -> Int in
        if case .value(let extent) = dimension.extent, extent > 0 { return Int(extent) }
        return 1
      }
      inputs[port.value.name] = random(shape, seed: UInt64(index + 1))
    }
    try checkIntermediates(of: { try ModelDecoder.load(path: path) }, inputs: inputs)
  }

  @Test func everyIntermediateOfMiniLM() throws {
    guard let path = TestFiles.sharedModel("minilm-l6-v2/minilm_opset17.onnx") else { return }
    let model = try ModelDecoder.load(path: path)
    var inputs: [String: Tensor] = [:]
    for value in model.graph.requiredInputs {
      let isMask = value.name.contains("mask")
      let isType = value.name.contains("type")
      inputs[value.name] = Tensor((0..<9).map { Int64(isMask ? 1 : isType ? 0 : 101 + 37 * $0) }, shape: [1, 9])
    }
    try checkIntermediates(of: { try ModelDecoder.load(path: path) }, inputs: inputs)
  }

  /// Products with every kind of tail: added channels, tensors of the result's shape, both, larger ones, functions.
  private func tails() -> Model {
    let builder = GraphSketch()
    let x = builder.input("x", .float32, [-1, 5, 9, 11])
    let pads = Attribute("pads", ints: [1, 1, 1, 1])
    let w = builder.constant("w", random([5, 5, 3, 3], seed: 2))
    let channels = builder.constant("c", random([5, 1, 1], seed: 3))
    func convolution(_ name: String) -> Value { builder.node("Conv", [x, w], to: name, [pads]) }
    let biased = builder.node("Add", [channels, convolution("c1")], to: "biased")
    builder.output(builder.node("Elu", [biased], to: "elu"))
    let both = builder.node(
      "Add", [x, builder.node("Add", [convolution("c2"), channels], to: "c2_biased")], to: "both")
    builder.output(builder.node("HardSwish", [both], to: "hardswish"))
    let twice = builder.node("Add", [builder.node("Add", [convolution("c3"), x], to: "c3_x"), channels], to: "twice")
    builder.output(builder.node("Relu", [twice], to: "relu"))
    let larger = builder.constant("larger", random([2, 1, 5, 9, 11], seed: 4))
    builder.output(builder.node("Add", [convolution("c4"), larger], to: "enlarged"))
    let gated = convolution("c5")
    builder.output(builder.node("Mul", [builder.node("Sigmoid", [gated], to: "gate"), gated], to: "silu"))
    let square = convolution("c6")
    builder.output(builder.node("Add", [square, square], to: "doubled"))
    let column = builder.constant("column", random([11], seed: 5))
    builder.output(builder.node("Add", [convolution("c7"), column], to: "by_column"))
    let matrix = builder.constant("m", random([11, 37], seed: 6))
    let row = builder.constant("row", random([37], seed: 7))
    let product = builder.node("Add", [builder.node("MatMul", [x, matrix], to: "p"), row], to: "p_row")
    let residual = builder.node("MatMul", [x, matrix], to: "other")
    builder.output(
      builder.node("LeakyRelu", [builder.node("Add", [product, residual], to: "p_sum")], to: "leaky"))
    let low = builder.constant("low", Tensor([-0.5 as Float], shape: []))
    let flat = builder.node("Flatten", [x], to: "flat")
    let dense = builder.node(
      "Gemm",
      [flat, builder.constant("g", random([495, 70], seed: 8)), builder.constant("gb", random([70], seed: 9))],
      to: "dense")
    builder.output(builder.node("Clip", [dense, low], to: "clipped"))
    return builder.model()
  }

  @Test(arguments: [1, 3]) func everyTail(batch: Int) throws {
    try checkIntermediates(of: { tails() }, inputs: ["x": random([batch, 5, 9, 11], seed: 1)])
  }

  /// The nodes themselves say what is wrong, also where they would have been joined.
  @Test func errorsNameTheNode() throws {
    let builder = GraphSketch()
    let x = builder.input("x", .float32, [1, 2, 4, 4])
    let y = builder.node("Conv", [x, builder.constant("w", random([3, 2, 3, 3], seed: 1))], to: "y")
    let z = builder.node("Add", [y, builder.constant("b", random([7], seed: 2))], to: "z")
    builder.output(builder.node("Relu", [z], to: "r"))
    let executor = try FloatExecutor(model: builder.model())
    let error = #expect(throws: ExecutionError.self) {
      let _: [String: Tensor] = try executor.run(["x": random([1, 2, 4, 4], seed: 3)])
    }
    #expect(error?.node?.contains("make_z") == true)
  }
}
