import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor

/// An ONNX model on disk, read and checked.
///
/// Weights stay in the file: it is mapped, not copied, and must not change while the object lives.
public final class ModelFile {
  /// The file as its user typed it.
  public let path: String
  /// Of an engine, its inputs and outputs alone.
  package let model: Model
  /// What an engine holds.
  package let engine: (file: EngineFile, plan: IntegerPlan)?

  /// Reads the model.
  ///
  /// - Throws: `QuantizerError` of kind `badInput` when the file is missing, damaged or no ONNX model.
  public init(path: String) throws(QuantizerError) {
    self.path = path
    engine = nil
    model = try folding(path) { try ModelDecoder.load(path: path) }
  }

  /// Reads a model or an engine, whichever the file is.
  ///
  /// - Throws: `QuantizerError` of kind `badInput` when the file is missing, damaged or neither.
  public init(runnable path: String) throws(QuantizerError) {
    self.path = path
    engine = try folding(path) {
      guard EngineFile.isEngine(path: path) else { return nil }
      let file = try EngineFile.open(path: path)
      return (file, try file.plan())
    }
    if let engine {
      model = engine.plan.model
    } else {
      model = try folding(path) { try ModelDecoder.load(path: path) }
    }
  }

  /// Whether the file is an engine.
  public var isEngine: Bool { engine != nil }

  /// A graph input or output.
  public struct Port: Sendable {
    /// Its name.
    public let name: String
    /// The element type's ONNX name, "" where the model does not say.
    public let elementType: String
    /// Extents; -1 is unknown, nil where not even the rank is known.
    public let shape: [Int]?
  }

  /// The inputs that have to be given.
  public var inputs: [Port] { model.graph.requiredInputs.map { Self.port($0.name, $0.type) } }

  /// The outputs in order.
  public var outputs: [Port] { model.graph.outputs.map { Self.port($0.value.name, $0.info.type) } }

  static func port(_ name: String, _ type: ValueType?) -> Port {
    let shape = type?.tensorType?.shape?.map { dimension in
      if case .value(let extent) = dimension.extent { Int(extent) } else { -1 }
    }
    return Port(name: name, elementType: type?.elementType?.name ?? "", shape: shape)
  }

  /// SHA-256 of the file and its external data, in hexadecimal. Reads all weights.
  public var identity: String { model.identity?.sha256 ?? "" }

  /// Whether the graph carries QuantizeLinear or DequantizeLinear nodes, or operators on quantized tensors.
  public var isQuantized: Bool {
    model.graph.allGraphs.contains { graph in
      graph.nodes.contains {
        ["QuantizeLinear", "DequantizeLinear", "QGemm", "MatMulInteger", "ConvInteger"].contains($0.opType)
          || $0.opType.hasPrefix("QLinear")
      }
    }
  }
}
