/// A `ModelProto`.
package final class Model {
  package var irVersion: Int64?
  package var opsetImports: [OpsetImport] = []
  package var producerName: String?
  package var producerVersion: String?
  package var domain: String?
  package var modelVersion: Int64?
  package var docString: String?
  /// nil where the file has no graph at all.
  package var graph: Graph
  package var metadata: [StringEntry] = []
  package var trainingInfo: [OpaqueMessage] = []
  package var functions: [Function] = []
  package var configurations: [OpaqueMessage] = []
  package var unknownFields: [UnknownField] = []
  /// Keeps what views into the file need: the mapping.
  package var backing: [AnyObject] = []

  package init(graph: Graph) { self.graph = graph }

  /// The imported version of a domain ("" is `ai.onnx`); nil when the model does not import it.
  package func opset(_ domain: String = "") -> Int? {
    opsetImports.first { ($0.domain ?? "") == domain || (domain.isEmpty && $0.domain == "ai.onnx") }?.version
      .map { Int($0) }
  }

  package func setOpset(_ version: Int, domain: String = "") {
    for index in opsetImports.indices {
      let stored = opsetImports[index].domain ?? ""
      if stored == domain || (domain.isEmpty && stored == "ai.onnx") {
        opsetImports[index].version = Int64(version)
        return
      }
    }
    opsetImports.append(OpsetImport(domain: domain, version: Int64(version)))
  }

  package func function(domain: String, name: String, overload: String?) -> Function? {
    functions.first {
      ($0.domain ?? "") == domain && $0.name == name && ($0.overload ?? "") == (overload ?? "")
    }
  }

  package func metadataValue(_ key: String) -> String? { metadata.first { $0.key == key }?.value }

  package func setMetadata(_ key: String, _ value: String) {
    if let index = metadata.firstIndex(where: { $0.key == key }) {
      metadata[index].value = value
    } else {
      metadata.append(StringEntry(key: key, value: value))
    }
  }
}

/// A `FunctionProto`. The body is a graph whose inputs and outputs carry no types of their own.
package final class Function {
  package var name: String?
  package var domain: String?
  package var overload: String?
  package var body: Graph
  /// Attribute names without defaults.
  package var attributes: [String] = []
  /// Attributes with defaults.
  package var attributeDefaults: [Attribute] = []
  package var opsetImports: [OpsetImport] = []
  package var docString: String?
  package var metadata: [StringEntry] = []
  package var unknownFields: [UnknownField] = []

  package init(body: Graph) { self.body = body }

  package func opset(_ domain: String) -> Int? {
    opsetImports.first { ($0.domain ?? "") == domain || (domain.isEmpty && $0.domain == "ai.onnx") }?.version
      .map { Int($0) }
  }
}
