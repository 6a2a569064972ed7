import ONNXGraph
import ONNXTensor

/// The values of a graph that are known before it runs: initializers and outputs of Constant nodes.
///
/// A graph input with an initializer counts: files below IR 4 must list every initializer as an input.
struct Constants {
  let graph: Graph
  /// The graphs around it, whose constants it may read.
  var outer: [Graph] = []

  func isConstant(_ value: Value) -> Bool {
    literal(value) != nil || value.producer.map { $0.isStandard("Constant") } ?? false
  }

  private func literal(_ value: Value) -> TensorLiteral? {
    if let own = graph.initializer(for: value) { return own }
    for graph in outer { if let literal = graph.initializer(for: value) { return literal } }
    return nil
  }

  func tensor(_ value: Value?) -> Tensor? {
    guard let value else { return nil }
    if let literal = self.literal(value) { return try? literal.tensor() }
    guard let node = value.producer, node.isStandard("Constant") else { return nil }
    switch node.attribute("value") {
    case .tensor(let literal): return try? literal.tensor()
    default: break
    }
    if case .float(let value) = node.attribute("value_float") { return Tensor(scalar: value) }
    if case .floats(let values) = node.attribute("value_floats") { return Tensor(values, shape: [values.count]) }
    if case .int(let value) = node.attribute("value_int") { return Tensor(scalar: value) }
    if case .ints(let values) = node.attribute("value_ints") { return Tensor(values, shape: [values.count]) }
    return nil
  }

  /// The elements of a constant float32, float16 or bfloat16 tensor.
  func floats(_ value: Value?) -> [Float]? {
    guard let tensor = tensor(value), FloatTypes.isReal(tensor.elementType) else { return nil }
    return tensor.floats
  }

  /// The shape of a constant, without reading it.
  func shape(_ value: Value?) -> [Int]? {
    guard let value else { return nil }
    if let literal = self.literal(value) {
      return literal.elementCount == nil ? nil : literal.dims.map(Int.init)
    }
    return tensor(value)?.shape
  }

  func elementType(_ value: Value) -> ElementType? {
    literal(value)?.elementType ?? tensor(value)?.elementType
  }
}
