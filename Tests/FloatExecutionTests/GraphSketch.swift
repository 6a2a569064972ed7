import ONNXGraph
import ONNXTensor

/// Builds a graph by hand: every method gives the value it made.
struct GraphSketch {
  let graph: Graph

  init(_ name: String = "test") { graph = Graph(name: name) }

  @discardableResult
  func input(_ name: String, _ type: ElementType = .float32, _ shape: [Int]? = nil) -> Value {
    let value = Value(name, type: .tensor(type, shape))
    graph.inputs.append(Graph.Port(value))
    return value
  }

  func constant(_ name: String, _ tensor: Tensor) -> Value { graph.addInitializer(named: name, tensor) }

  func constant(_ name: String, _ values: [Float]) -> Value {
    constant(name, Tensor(values, shape: values.count == 1 ? [] : [values.count]))
  }

  @discardableResult
  func node(
    _ opType: String, _ inputs: [Value?], to output: String, domain: String? = nil, _ attributes: [Attribute] = []
  ) -> Value {
    let value = Value(output)
    graph.append(
      Node(
        opType, domain: domain, name: "make_\(output)", inputs: inputs, outputs: [value], attributes: attributes))
    return value
  }

  func output(_ values: Value...) {
    for value in values {
      graph.outputs.append(Graph.Port(value, info: ValueInfo(type: .tensor(.float32, nil))))
    }
  }

  func model(opset: Int = 22, functions: [Function] = [], domains: [String] = []) -> Model {
    let model = Model(graph: graph)
    model.irVersion = 10
    model.setOpset(opset)
    for domain in domains { model.setOpset(1, domain: domain) }
    model.functions = functions
    return model
  }
}

extension Function {
  convenience init(_ name: String, domain: String = "local", body: Graph) {
    self.init(body: body)
    self.name = name
    self.domain = domain
    opsetImports = [OpsetImport(domain: "", version: 22), OpsetImport(domain: domain, version: 1)]
  }
}

extension Tensor {
  init(_ values: Float...) { self.init(values, shape: [values.count]) }

  /// Type, shape and bytes.
  func isIdentical(to other: Tensor) -> Bool {
    elementType == other.elementType && shape == other.shape
      && withBytes { left in other.withBytes { left.elementsEqual($0) } }
  }
}
