import FloatExecution
import FoundationEssentials
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Mutated models end in a result or in an error: never in a trap or a hang. A trap ends the process, and the model that
/// caused it is then left in the folder that the suite prints.
@Suite struct MutationTests {
  static let models = [
    "digits/digits.onnx", "models/tiny-ic-resnet8-qdq/resnet8_qdq.onnx", "models/mnist-8/mnist.onnx",
  ]

  @Test(arguments: models) func loadingAndRunningNeverTraps(model: String) throws {
    let (count, seed) = (Mutation.count, Mutation.seed)
    let bytes = try [UInt8](Data(contentsOf: URL(filePath: TestFiles.fixture(model))))
    let folder = try TestFiles.scratch("mutations")
    let path = folder + "/mutated.onnx"
    var generator = SeededGenerator(seed: seed)
    var (loaded, ran) = (0, 0)
    for _ in 0..<count {
      try Data(Mutation.mutated(bytes, &generator)).write(to: URL(filePath: path))
      guard let mutant = try? ModelDecoder.load(path: path) else { continue }
      loaded += 1
      // Runs cost the most: one in ten of the models that load.
      if loaded % 10 == 0, (try? run(mutant)) != nil { ran += 1 }
    }
    print(
      "\(model): \(count) mutations of seed \(seed), \(loaded) load, \(ran) of \(loaded / 10) run; last in \(folder)")
    #expect(loaded > 0 && loaded < count)
    try FileManager.default.removeItem(atPath: folder)
  }

  /// The model on zeros of the shapes that it declares, unknown extents as 1.
  private func run(_ model: Model) throws {
    let executor = try FloatExecutor(model: model)
    var inputs: [String: Tensor] = [:]
    for port in model.graph.inputs where model.graph.initializer(for: port.value) == nil {
      guard let type = port.info.type?.tensorType, let elementType = type.elementType.flatMap(ElementType.init),
        let dimensions = type.shape
      else { return }
      let shape = dimensions.map { dimension in
        if case .value(let extent) = dimension.extent, extent > 0, extent < 4096 { Int(extent) } else { 1 }
      }
      let elements = shape.reduce(1, *)
      if elements > 1 << 20 { return }
      switch elementType {
      case .float32: inputs[port.value.name] = Tensor(repeating: Float(0), shape: shape)
      case .int8: inputs[port.value.name] = Tensor(repeating: Int8(0), shape: shape)
      default: return
      }
    }
    let _: [String: Tensor] = try executor.run(inputs)
  }
}
