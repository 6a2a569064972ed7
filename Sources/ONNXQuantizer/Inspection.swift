import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantCalibration
import QuantCore
import QuantPasses
import QuantVerification

/// What a model holds, in numbers.
public struct ModelSummary: Sendable, Encodable {
  /// A graph input or output.
  public struct Port: Sendable, Encodable {
    /// Its name.
    public var name: String
    /// The element type's ONNX name, "" where the model does not say.
    public var type: String
    /// -1 is an unknown extent.
    public var shape: [Int]?
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.inspect/1"
  /// The file as its user typed it.
  public var file: String
  /// ONNX's IR version; nil where the file has none.
  public var irVersion: Int?
  /// Name of the program that wrote the model.
  public var producer: String?
  /// Imported operator sets by domain; "" is `ai.onnx`.
  public var opsets: [String: Int]
  /// Inputs that have to be given.
  public var inputs: [Port]
  /// Outputs in order.
  public var outputs: [Port]
  /// Number of nodes, nested graphs included.
  public var nodes: Int
  /// Number of nodes by operator.
  public var operators: [String: Int]
  /// Number of initializers.
  public var initializers: Int
  /// Number of elements in initializers.
  public var parameters: Int
  /// Bytes of the initializers.
  public var weightBytes: Int
  /// Number of model functions.
  public var functions: Int
  /// Whether there are QuantizeLinear or DequantizeLinear nodes.
  public var quantized: Bool
  /// The target that onnxq inserted for, if it did.
  public var target: String?
  /// Broken invariants of the graph.
  public var faults: [String]
  /// What the nodes of the main graph compute; nil unless asked for.
  public var values: [Port]?

  enum CodingKeys: String, CodingKey {
    case schema, file, producer, opsets, inputs, outputs, nodes, operators, initializers, parameters, functions
    case quantized, target, faults, values
    case irVersion = "ir_version"
    case weightBytes = "weight_bytes"
  }
}

extension ModelFile {
  /// What the model holds, counted.
  public var summary: ModelSummary { summary(listsValues: false) }

  /// - Parameter listsValues: whether `values` is filled; `inferTypes` gives them types.
  public func summary(listsValues: Bool) -> ModelSummary {
    let graphs = model.graph.allGraphs
    let nodes = graphs.flatMap(\.nodes)
    let initializers = graphs.flatMap(\.initializers)
    var opsets: [String: Int] = [:]
    for entry in model.opsetImports { opsets[entry.domain ?? ""] = Int(clamping: entry.version ?? 0) }
    func port(_ port: Port) -> ModelSummary.Port {
      ModelSummary.Port(name: port.name, type: port.elementType, shape: port.shape)
    }
    var counts: [String: Int] = [:]
    for node in nodes {
      counts[node.canonicalDomain.isEmpty ? node.opType : "\(node.canonicalDomain).\(node.opType)", default: 0] += 1
    }
    var parameters = 0
    var bytes = 0
    for item in initializers {
      let count = item.literal.elementCount ?? 0
      parameters &+= count
      bytes &+= item.literal.elementType?.byteCount(elements: count) ?? 0
    }
    return ModelSummary(
      file: path, irVersion: model.irVersion.map { Int(clamping: $0) }, producer: model.producerName, opsets: opsets,
      inputs: inputs.map(port), outputs: outputs.map(port), nodes: nodes.count, operators: counts,
      initializers: initializers.count, parameters: parameters, weightBytes: bytes, functions: model.functions.count,
      quantized: isQuantized, target: ProvenanceStamp(model)?.target,
      faults: GraphVerifier.violations(in: model).map(\.description),
      values: listsValues ? computedValues.map(port) : nil)
  }

  /// The model in ONNX's textual syntax.
  public func text(full: Bool = false) -> String { TextPrinter.text(model, elementLimit: full ? nil : 16) }
}

/// What a statistics file holds.
public struct StatisticsReport: Sendable, Encodable {
  /// What the statistics say of one tensor.
  public struct TensorLine: Sendable, Encodable {
    /// The tensor's name.
    public var name: String
    /// Elements over all samples.
    public var count: UInt64
    /// Smallest finite value.
    public var minimum: Float
    /// Largest finite value.
    public var maximum: Float
    /// Zeros of both signs.
    public var zeros: UInt64
    /// NaN and infinities.
    public var nonFinite: UInt64
    /// The shape that all samples had; nil where they differ.
    public var shape: [Int]?

    enum CodingKeys: String, CodingKey {
      case name, count, zeros, shape
      case minimum = "min"
      case maximum = "max"
      case nonFinite = "non_finite"
    }
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.inspect/1"
  /// The file as its user typed it.
  public var file: String
  /// SHA-256 of the model that was run, external data included.
  public var modelSHA256: String
  /// SHA-256 of the mergeable content.
  public var statisticsSHA256: String
  /// Number of samples that were run.
  public var samples: Int
  /// The data as its user typed it.
  public var data: String
  /// How pictures became inputs; "" where there were none.
  public var preprocessing: String
  /// The tensors by name.
  public var tensors: [TensorLine]

  enum CodingKeys: String, CodingKey {
    case schema, file, samples, data, preprocessing, tensors
    case modelSHA256 = "model_sha256"
    case statisticsSHA256 = "statistics_sha256"
  }

  /// Reads a statistics file.
  public init(path: String) throws(QuantizerError) {
    let statistics = try CalibrationStatistics(path: path)
    file = path
    modelSHA256 = statistics.file.modelSHA256
    statisticsSHA256 = statistics.sha256
    samples = statistics.samples
    data = statistics.dataPath
    preprocessing = statistics.preprocessing
    tensors = statistics.file.statistics.tensors.sorted { $0.key < $1.key }.map { name, tensor in
      TensorLine(
        name: name, count: tensor.count, minimum: tensor.minimum, maximum: tensor.maximum, zeros: tensor.zeros,
        nonFinite: tensor.nonFinite, shape: tensor.shape)
    }
  }

  /// The report as a person reads it.
  public var text: String {
    var rows = [["tensor", "min", "max", "elements", "zeros", "not finite"]]
    for tensor in tensors {
      rows.append([
        tensor.name, "\(tensor.minimum)", "\(tensor.maximum)", "\(tensor.count)", "\(tensor.zeros)",
        "\(tensor.nonFinite)",
      ])
    }
    return """
      \(file): \(tensors.count) tensors, \(samples) samples of \(data)
      model      \(modelSHA256)
      statistics \(statisticsSHA256)

      \(VerificationResult.table(rows).joined(separator: "\n"))
      """
  }
}
