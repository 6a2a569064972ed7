import FloatExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// The nodes that a plan runs with the operators' own kernels, as an ONNX model of their own.
///
/// Weights are not in it: they are constants of the engine, so that they stay mapped.
final class OperatorStore {
  private let source: Model
  private var index: [Node: Int] = [:]
  private var values: [String: Value] = [:]
  private let graph = Graph(name: "operators")

  init(_ source: Model) { self.source = source }

  func add(_ node: Node) -> Int {
    if let known = index[node] { return known }
    func value(_ original: Value?, isOutput: Bool = false) -> Value? {
      guard let original else { return nil }
      if let known = values[original.name], !isOutput || known.producer == nil { return known }
      let value = Value(original.name)
      values[original.name] = value
      return value
    }
    let inputs = node.inputs.map { value($0) }
    let outputs = node.outputs.map { value($0, isOutput: true) }
    let copy = Node(
      node.opType, domain: node.domain, name: node.name, inputs: inputs, outputs: outputs, attributes: node.attributes)
    copy.overload = node.overload
    graph.append(copy)
    index[node] = index.count
    return index.count - 1
  }

  /// Empty where no node was added.
  func encoded() throws -> [UInt8] {
    guard !index.isEmpty else { return [] }
    let model = Model(graph: graph)
    model.irVersion = source.irVersion ?? 10
    model.opsetImports = source.opsetImports
    model.functions = source.functions
    model.backing = source.backing
    return try ModelEncoder.bytes(of: model)
  }
}

/// The embedded model of an engine.
final class StoredOperators {
  let model: Model
  let context: PlanContext

  init(_ model: Model) {
    self.model = model
    context = PlanContext(model: model)
  }

  func node(_ index: Int) -> Node? { index < model.graph.nodes.count ? model.graph.nodes[index] : nil }
}

/// A kernel of the operator library, prepared now or at the first run.
final class LazyKernel {
  private var result: Result<Kernel, any Error>?
  private let prepare: () throws -> Kernel

  init(_ result: Result<Kernel, any Error>) {
    self.result = result
    prepare = { try result.get() }
  }

  init(preparing prepare: @escaping () throws -> Kernel) { self.prepare = prepare }

  func get() throws -> Kernel {
    if let result { return try result.get() }
    let result = Result { try prepare() }
    self.result = result
    return try result.get()
  }
}

extension FieldReader {
  mutating func embeddedNode(inputs count: Int) throws(EngineFileError) -> (Node, StoredOperators) {
    let index = try int("operator", in: 0...1 << 31)
    guard let operators, let node = operators.node(index) else {
      throw damaged("operator \(index) is not in the embedded model")
    }
    guard node.subgraphs.isEmpty else { throw damaged("operator \(index) has nested graphs") }
    return (node, operators)
  }
}
