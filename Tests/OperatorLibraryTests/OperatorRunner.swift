import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// Runs one operator on hand-made values.
enum OperatorRunner {
  static func node(
    _ opType: String, domain: String = "", inputs: Int, absent: Set<Int> = [], outputs: Int = 1,
    attributes: [Attribute] = []
  ) -> Node {
    Node(
      opType, domain: domain, name: "node", inputs: (0..<inputs).map { absent.contains($0) ? nil : Value("x\($0)") },
      outputs: (0..<outputs).map { Value("y\($0)") }, attributes: attributes)
  }

  static func run(
    _ opType: String, domain: String = "", opset: Int = 22, _ inputs: [Tensor?], outputs: Int = 1,
    _ attributes: [Attribute] = []
  ) throws -> [Tensor?] {
    let absent = Set(inputs.indices.filter { inputs[$0] == nil })
    let node = node(
      opType, domain: domain, inputs: inputs.count, absent: absent, outputs: outputs, attributes: attributes)
    guard let type = OperatorCatalog.find(node) else { throw OperatorError("there is no \(opType)") }
    let kernel = try type.prepare(OperatorNode(node, opset: opset))
    return try kernel.body(inputs.map { $0.map { .tensor($0) } }, EvaluationContext(outputCount: outputs)).map {
      $0?.tensor
    }
  }

  /// The first output.
  static func result(
    _ opType: String, domain: String = "", opset: Int = 22, _ inputs: [Tensor?], _ attributes: [Attribute] = []
  ) throws -> Tensor {
    guard let tensor = try run(opType, domain: domain, opset: opset, inputs, attributes).first ?? nil else {
      throw OperatorError("no result")
    }
    return tensor
  }
}

extension Tensor {
  static func floats(_ values: [Float], _ shape: [Int]) -> Tensor { Tensor(values, shape: shape) }
  static func ints(_ values: [Int64], _ shape: [Int]? = nil) -> Tensor {
    Tensor(values, shape: shape ?? [values.count])
  }
}
