import ONNXGraph
import ONNXTensor

/// Types of the values of a model, from its inputs and constants, node by node; bodies of functions and control flow included.
///
/// Where nothing follows from a node's inputs, what the model declares of its outputs is taken.
package struct GraphInference {
  package private(set) var values: [Value: InferredValue] = [:]
  private let model: Model
  /// Nodes of function bodies seen so far: each call has its own copy, so calls of calls can multiply without bound.
  private var expandedNodes = 0
  private var callers: [Function] = []

  private static let expansionLimit = 1_000_000
  private static let depthLimit = 32

  /// - Throws: `InferenceError` where shapes, types or attributes contradict each other.
  package init(_ model: Model) throws {
    self.model = model
    try infer(model.graph, opsets: Self.versions(model.opsetImports), inputs: [])
  }

  package func type(of value: Value) -> ValueType? { values[value]?.type }

  private static func versions(_ imports: [OpsetImport]) -> [String: Int] {
    var versions: [String: Int] = [:]
    for entry in imports {
      let domain = entry.domain ?? ""
      versions[domain == "ai.onnx" ? "" : domain] = Int(clamping: entry.version ?? 1)
    }
    return versions
  }

  /// `inputs` are what the graph is called with, by position; further ones are known by their declaration alone.
  @discardableResult
  private mutating func infer(
    _ graph: Graph, opsets: [String: Int], inputs: [InferredValue?]
  ) throws -> [InferredValue?] {
    for (index, port) in graph.inputs.enumerated() {
      let declared = port.info.type.map { InferredValue($0) }
      let given = index < inputs.count ? inputs[index] : nil
      // A shape that the caller does not know may be declared: it holds for every call.
      values[port.value] = given?.dimensions == nil && declared?.dimensions != nil ? declared : given ?? declared
    }
    for item in graph.initializers {
      guard let tensor = try? item.literal.tensor() else { continue }
      let isSmall = tensor.count <= ShapeInference.largestFold
      values[item.value] = InferredValue(.tensor(tensor.elementType, tensor.shape), constant: isSmall ? tensor : nil)
    }
    for node in graph.topologicalOrder() ?? graph.nodes {
      let results: [InferredValue?]
      do {
        results = try infer(node, opsets: opsets)
      } catch let error as OperatorError {
        throw InferenceError(message: error.message, node: "\(node.label) [\(node.opType)]")
      }
      for (index, output) in node.outputs.enumerated() {
        guard let output else { continue }
        let inferred = index < results.count ? results[index] : nil
        if let known = inferred ?? output.type.map({ InferredValue($0) }) { values[output] = known }
      }
    }
    return graph.outputs.map { port in values[port.value] ?? port.info.type.map { InferredValue($0) } }
  }

  private mutating func infer(_ node: Node, opsets: [String: Int]) throws -> [InferredValue?] {
    let inputs = node.inputs.map { input in input.flatMap { values[$0] } }
    if let function = model.function(domain: node.canonicalDomain, name: node.opType, overload: node.overload) {
      return try infer(function, calledBy: node, inputs)
    }
    guard let type = OperatorCatalog.find(node) else { return [] }
    let version = opsets[node.canonicalDomain] ?? 1
    var view = OperatorNode(node, opset: version, constants: inputs.map { $0?.constant })
    for body in node.subgraphs {
      guard let arguments = type.bodyInputs(view, body, inputs) else { continue }
      view.setOutputTypes(of: body, try infer(body, opsets: opsets, inputs: arguments))
    }
    return try type.infer(view, inputs)
  }

  private mutating func infer(
    _ function: Function, calledBy node: Node, _ inputs: [InferredValue?]
  ) throws -> [InferredValue?] {
    guard callers.count < Self.depthLimit, !callers.contains(where: { $0 === function }) else { return [] }
    let body = function.instantiated(for: node)
    expandedNodes += body.allGraphs.reduce(1) { $0 + $1.nodes.count }
    guard expandedNodes <= Self.expansionLimit else { return [] }
    callers.append(function)
    defer { callers.removeLast() }
    return try infer(body, opsets: Self.versions(function.opsetImports), inputs: inputs)
  }
}

/// Why a model's types contradict each other: the innermost node at fault.
package struct InferenceError: Error, CustomStringConvertible {
  package let message: String
  package let node: String
  package var description: String { "node \(node): \(message)" }
}
