import ONNXGraph
import ONNXTensor

/// A node as operators see it: attributes with checked access, the opset version of its domain, inputs known at plan time.
package struct OperatorNode {
  package let node: Node
  /// Imported version of the node's domain.
  package let opset: Int
  /// Inputs that are constants (initializers, results of constant folding); nil for the others.
  package let constants: [Tensor?]
  /// What inference found of the outputs of nested graphs.
  private var bodyTypes: [ObjectIdentifier: [InferredValue?]] = [:]

  package init(_ node: Node, opset: Int, constants: [Tensor?] = []) {
    self.node = node
    self.opset = opset
    self.constants = constants
  }

  package func constant(_ index: Int) -> Tensor? { index < constants.count ? constants[index] : nil }

  package func hasInput(_ index: Int) -> Bool { node.input(index) != nil }

  package func int(_ name: String, default value: Int) throws -> Int { try int(name) ?? value }

  package func int(_ name: String) throws -> Int? {
    guard let payload = node.attribute(name) else { return nil }
    guard case .int(let value) = payload else { throw mismatch(name, "an integer") }
    return Int(value)
  }

  package func bool(_ name: String, default value: Bool) throws -> Bool { try int(name).map { $0 != 0 } ?? value }

  package func float(_ name: String, default value: Float) throws -> Float { try float(name) ?? value }

  package func float(_ name: String) throws -> Float? {
    guard let payload = node.attribute(name) else { return nil }
    guard case .float(let value) = payload else { throw mismatch(name, "a float") }
    return value
  }

  package func ints(_ name: String) throws -> [Int]? {
    guard let payload = node.attribute(name) else { return nil }
    // An empty list is written without its elements, so exporters leave any list type, or none.
    if case .none = payload { return [] }
    guard case .ints(let values) = payload else { throw mismatch(name, "a list of integers") }
    return values.map(Int.init)
  }

  package func floats(_ name: String) throws -> [Float]? {
    guard let payload = node.attribute(name) else { return nil }
    if case .none = payload { return [] }
    guard case .floats(let values) = payload else { throw mismatch(name, "a list of floats") }
    return values
  }

  package func string(_ name: String, default value: String) throws -> String { try string(name) ?? value }

  package func string(_ name: String) throws -> String? {
    guard let payload = node.attribute(name) else { return nil }
    guard case .string(let bytes) = payload else { throw mismatch(name, "a string") }
    return String(decoding: bytes, as: UTF8.self)
  }

  package func strings(_ name: String) throws -> [[UInt8]]? {
    guard let payload = node.attribute(name) else { return nil }
    if case .none = payload { return [] }
    guard case .strings(let values) = payload else { throw mismatch(name, "a list of strings") }
    return values
  }

  package func tensor(_ name: String) throws -> Tensor? {
    guard let payload = node.attribute(name) else { return nil }
    guard case .tensor(let literal) = payload else { throw mismatch(name, "a tensor") }
    return try literal.tensor()
  }

  package func graph(_ name: String) throws -> Graph {
    guard case .graph(let graph) = node.attribute(name) else { throw mismatch(name, "a graph") }
    return graph
  }

  package mutating func setOutputTypes(of body: Graph, _ types: [InferredValue?]) {
    bodyTypes[ObjectIdentifier(body)] = types
  }

  /// The types of a nested graph's outputs: inferred, and declared where that is all that is known.
  func outputTypes(of body: Graph) -> [ValueType?] {
    let inferred = bodyTypes[ObjectIdentifier(body)] ?? []
    return body.outputs.enumerated().map { index, port in
      guard index < inferred.count, let found = inferred[index]?.type else { return port.info.type }
      guard let own = found.tensorType, let declared = port.info.type?.tensorType?.shape else { return found }
      guard let shape = own.shape else { return port.info.type }
      guard shape.count == declared.count else { return found }
      let dimensions = zip(shape, declared).map { $0.extent == .unknown ? $1 : $0 }
      return InferredValue.tensor(found.elementType, dimensions: dimensions).type
    }
  }

  private func mismatch(_ name: String, _ expected: String) -> OperatorError {
    OperatorError("attribute '\(name)' is not \(expected)")
  }
}
