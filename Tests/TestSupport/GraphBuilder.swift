import ONNXGraph
import ONNXTensor

/// Builds small models by name.
package struct GraphBuilder {
  package let model: Model
  private var values: [String: Value] = [:]
  private var random: SeededGenerator

  package init(opset: Int = 17, irVersion: Int = 8, seed: UInt64 = 1) {
    model = Model(graph: Graph(name: "g"))
    model.irVersion = Int64(irVersion)
    model.setOpset(opset)
    random = SeededGenerator(seed: seed)
  }

  package var graph: Graph { model.graph }

  package mutating func value(_ name: String, _ type: ValueType? = nil) -> Value {
    if let known = values[name] {
      if known.type == nil { known.type = type }
      return known
    }
    let value = Value(name, type: type)
    values[name] = value
    return value
  }

  package mutating func input(_ name: String, _ shape: [Int], _ type: ElementType = .float32) {
    let value = value(name, .tensor(type, shape))
    graph.inputs.append(Graph.Port(value))
  }

  package mutating func output(_ name: String, _ shape: [Int]? = nil, _ type: ElementType = .float32) {
    let type = ValueType.tensor(type, shape)
    graph.outputs.append(Graph.Port(value(name, type), info: ValueInfo(type: type)))
  }

  package mutating func constant(_ name: String, _ tensor: Tensor) {
    let value = value(name, .tensor(tensor.elementType, tensor.shape))
    graph.addInitializer(value, TensorLiteral(name: name, tensor))
  }

  package mutating func constant(_ name: String, _ values: [Float], _ shape: [Int]? = nil) {
    constant(name, Tensor(values, shape: shape ?? [values.count]))
  }

  /// Random weights between -limit and limit.
  package mutating func weight(_ name: String, _ shape: [Int], limit: Float = 0.5) {
    let values = (0..<shape.reduce(1, *)).map { _ in Float.random(in: -limit...limit, using: &random) }
    constant(name, Tensor(values, shape: shape))
  }

  @discardableResult
  package mutating func node(
    _ opType: String, _ inputs: [String], _ outputs: [String], name: String? = nil, _ attributes: [Attribute] = []
  ) -> Node {
    let node = Node(
      opType, name: name, inputs: inputs.map { $0.isEmpty ? nil : value($0) },
      outputs: outputs.map { $0.isEmpty ? nil : value($0) }, attributes: attributes)
    graph.append(node)
    return node
  }

  package mutating func float(_ range: ClosedRange<Float>) -> Float { Float.random(in: range, using: &random) }
  package mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
}
