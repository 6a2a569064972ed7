import ONNXGraph
import OperatorLibrary

extension ModelFile {
  /// Works out the type and shape of every value and notes them in the graph, bodies of control flow included.
  ///
  /// What the model declares stays where inference finds nothing better.
  ///
  /// - Throws: `QuantizerError` of kind `badInput` that names the node where shapes, types or attributes contradict each other.
  public func inferTypes() throws(QuantizerError) {
    let inference: GraphInference
    do {
      inference = try GraphInference(model)
    } catch {
      throw QuantizerError(.badInput, "\(path): \(error)")
    }
    for graph in model.graph.allGraphs {
      for index in graph.outputs.indices {
        if let type = inference.type(of: graph.outputs[index].value) { graph.outputs[index].info.type = type }
      }
      let ports = Set(graph.outputs.map(\.value))
      var declared = Set<Value>()
      for index in graph.valueInfos.indices {
        declared.insert(graph.valueInfos[index].value)
        if let type = inference.type(of: graph.valueInfos[index].value) { graph.valueInfos[index].info.type = type }
      }
      for value in graph.nodes.flatMap(\.outputs).compactMap({ $0 }) where !ports.contains(value) {
        guard let type = inference.type(of: value) else { continue }
        value.type = type
        if declared.insert(value).inserted { graph.valueInfos.append(Graph.Port(value)) }
      }
    }
  }

  /// The types of all values that nodes of the main graph compute, in the order of the nodes.
  public var computedValues: [Port] {
    let outputs = Dictionary(
      model.graph.outputs.map { ($0.value, $0.info.type) }, uniquingKeysWith: { first, _ in first })
    return model.graph.nodes.flatMap(\.outputs).compactMap { $0 }.map { value in
      Self.port(value.name, (outputs[value] ?? nil) ?? value.type)
    }
  }
}
