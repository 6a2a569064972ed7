import Glibc
import ONNXGraph
import ONNXTensor

/// sin^2(pi n / N). Opset 17.
enum HannWindow: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    try CosineWindow.kernel(node) { 0.5 - 0.5 * cos(2 * .pi * $0) }
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try CosineWindow.infer(node, inputs)
  }
}

/// 25/46 - 21/46 cos(2 pi n / N). Opset 17.
enum HammingWindow: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    try CosineWindow.kernel(node) { 25.0 / 46 - 21.0 / 46 * cos(2 * .pi * $0) }
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try CosineWindow.infer(node, inputs)
  }
}

/// 0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N). Opset 17.
enum BlackmanWindow: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    try CosineWindow.kernel(node) { 0.42 - 0.5 * cos(2 * .pi * $0) + 0.08 * cos(4 * .pi * $0) }
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try CosineWindow.infer(node, inputs)
  }
}

private enum CosineWindow {
  /// `function` of n / N, where N is the size of a periodic window and one less of a symmetric one.
  static func kernel(_ node: OperatorNode, _ function: @escaping (Double) -> Double) throws -> Kernel {
    let isPeriodic = try node.bool("periodic", default: true)
    let type = try outputType(node)
    return .tensors { inputs, context in
      let size = try inputs[0].scalarInteger("the size")
      try CheckedSize.check([size], of: .float64)
      let period = Double(max(isPeriodic ? size : size - 1, 1))
      let values = (0..<size).map { function(Double($0) / period) }
      return try ElementCast().apply(Tensor(values, shape: [size]), to: type, pool: context.pool)
    }
  }

  private static func outputType(_ node: OperatorNode) throws -> ElementType {
    let code = try node.int("output_datatype", default: 1)
    guard let type = ElementType(rawValue: Int32(truncatingIfNeeded: code)), type != .string, type != .bool else {
      throw OperatorError("attribute 'output_datatype' is \(code)")
    }
    return type
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let size = inputs.constant(0)?.integers?.first.map { Extent($0) } ?? .unknown
    return [InferredValue(try outputType(node), extents: [size])]
  }
}
