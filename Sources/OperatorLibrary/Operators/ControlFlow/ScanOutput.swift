import ONNXGraph
import ONNXTensor

/// Tensors that a loop's body gives in each iteration, joined on a new axis.
struct ScanOutput {
  private(set) var elements: [Tensor] = []

  mutating func append(_ value: RuntimeValue, _ name: String) throws {
    guard let tensor = value.tensor else { throw OperatorError("scan output '\(name)' is not a tensor") }
    if let first = elements.first, first.shape != tensor.shape || first.elementType != tensor.elementType {
      throw OperatorError("scan output '\(name)' changes its shape from \(first.shape) to \(tensor.shape)")
    }
    elements.append(tensor)
  }

  /// Joined on `axis`; without iterations an empty tensor of the type that the body declares.
  func joined(axis: Int, reversed: Bool = false, declared: ValueType?, _ context: EvaluationContext) throws -> Tensor {
    guard let first = elements.first else {
      let shape = declared?.tensorType?.shape?.map { $0.known ?? 0 } ?? []
      let axis = try ShapeArithmetic.axis(axis, rank: shape.count + 1)
      let type = declared?.elementType ?? .float32
      try ShapeArithmetic.check(shape, type)
      return Tensor.zeros(type, shape: shape[..<axis] + [0] + shape[axis...])
    }
    let axis = try ShapeArithmetic.axis(axis, rank: first.rank + 1)
    var shape = first.shape
    shape.insert(1, at: axis)
    let ordered = reversed ? elements.reversed() : elements
    return try Concat.concatenate(ordered.map { $0.reshaped(shape) }, axis: axis, context)
  }
}
