import ONNXTensor

/// Prints models in ONNX's textual syntax, readable by `onnx.parser`; the same model always gives the same text.
///
/// What the syntax has no words for (documentation strings, denotations, unknown fields) is left out. An initializer of
/// more than `elementLimit` elements is declared without its values and with a comment that counts them; nil prints all.
/// Elements of types without literals of their own (float16, bfloat16, bool, types of at most 8 bits) appear as stored
/// codes, packed types byte by byte.
package struct TextPrinter {
  package var elementLimit: Int?
  private var text = ""

  package init(elementLimit: Int? = 16) { self.elementLimit = elementLimit }

  package static func text(_ model: Model, elementLimit: Int? = 16) -> String {
    var printer = TextPrinter(elementLimit: elementLimit)
    printer.print(model)
    return printer.text
  }

  package static func text(_ graph: Graph, elementLimit: Int? = 16) -> String {
    var printer = TextPrinter(elementLimit: elementLimit)
    printer.print(graph, name: quotedIdentifier(graph.name ?? ""), indent: 0)
    return printer.text
  }

  // MARK: Model and functions

  private mutating func print(_ model: Model) {
    var header: [String] = []
    if let version = model.irVersion { header.append("ir_version: \(version)") }
    header.append("opset_import: \(opsets(model.opsetImports))")
    func add(_ key: String, _ value: String?) { if let value { header.append("\(key): \(Self.quoted(value))") } }
    add("producer_name", model.producerName)
    add("producer_version", model.producerVersion)
    add("domain", model.domain)
    if let version = model.modelVersion { header.append("model_version: \(version)") }
    if !model.metadata.isEmpty {
      let entries = model.metadata.map { "\(Self.quoted($0.key ?? "")): \(Self.quoted($0.value ?? ""))" }
      header.append("metadata_props: [\(entries.joined(separator: ", "))]")
    }
    text += "<\n" + header.map { "  \($0)" }.joined(separator: ",\n") + "\n>\n"
    print(model.graph, name: Self.quotedIdentifier(model.graph.name ?? ""), indent: 0)
    for function in model.functions { print(function) }
  }

  private func opsets(_ imports: [OpsetImport]) -> String {
    "[" + imports.map { "\(Self.quoted($0.domain ?? "")): \($0.version ?? 0)" }.joined(separator: ", ") + "]"
  }

  private mutating func print(_ function: Function) {
    var header = ["domain: \(Self.quoted(function.domain ?? ""))", "opset_import: \(opsets(function.opsetImports))"]
    if let overload = function.overload { header.append("overload: \(Self.quoted(overload))") }
    text += "<\n" + header.map { "  \($0)" }.joined(separator: ",\n") + "\n>\n"
    text += Self.quotedIdentifier(function.name ?? "")
    var attributes = function.attributes
    attributes += function.attributeDefaults.map { print(attribute: $0, indent: 0) }
    if !attributes.isEmpty { text += " <\(attributes.joined(separator: ", "))>" }
    let inputs = function.body.inputs.map { Self.reference($0.value) }.joined(separator: ", ")
    let outputs = function.body.outputs.map { Self.reference($0.value) }.joined(separator: ", ")
    text += " (\(inputs)) => (\(outputs))"
    printDeclarations(of: function.body, indent: 0)
    printNodes(of: function.body, indent: 0)
  }

  // MARK: Graphs

  private mutating func print(_ graph: Graph, name: String, indent: Int) {
    let inputs = graph.inputs.map(declaration).joined(separator: ", ")
    let outputs = graph.outputs.map(declaration).joined(separator: ", ")
    text += "\(name) (\(inputs)) => (\(outputs))"
    printDeclarations(of: graph, indent: indent)
    printNodes(of: graph, indent: indent)
  }

  private func declaration(_ port: Graph.Port) -> String {
    let type = Self.text(port.info.type)
    return type.isEmpty ? Self.reference(port.value) : "\(type) \(Self.reference(port.value))"
  }

  private mutating func printDeclarations(of graph: Graph, indent: Int) {
    let margin = String(repeating: "  ", count: indent + 1)
    var lines: [(text: String, comment: String)] = []
    for item in graph.initializers {
      let name = Self.reference(item.value)
      let type = Self.tensorType(item.literal)
      if let limit = elementLimit, (item.literal.elementCount ?? 0) > limit {
        lines.append(("\(type) \(name)", "  # \(item.literal.elementCount ?? 0) elements"))
      } else {
        lines.append(("\(type) \(name) = \(values(item.literal))", ""))
      }
    }
    for port in graph.valueInfos { lines.append((declaration(port), "")) }
    guard !lines.isEmpty else {
      text += "\n" + String(repeating: "  ", count: indent)
      return
    }
    text += "\n\(margin.dropFirst(2))<\n"
    for (index, line) in lines.enumerated() {
      text += margin + line.text + (index == lines.count - 1 ? "" : ",") + line.comment + "\n"
    }
    text += "\(margin.dropFirst(2))>\n\(margin.dropFirst(2))"
  }

  private mutating func printNodes(of graph: Graph, indent: Int) {
    let margin = String(repeating: "  ", count: indent + 1)
    text += "{\n"
    for node in graph.nodes {
      text += margin
      if let name = node.name, !name.isEmpty { text += "[\(Self.quotedIdentifier(name))] " }
      let outputs = node.outputs.map(Self.reference)
      text += outputs.joined(separator: ", ") + (outputs.isEmpty ? "= " : " = ")
      if !node.canonicalDomain.isEmpty { text += "\(node.canonicalDomain)." }
      text += node.opType
      if let overload = node.overload, !overload.isEmpty { text += ":\(overload)" }
      if !node.attributes.isEmpty {
        let attributes = node.attributes.map { print(attribute: $0, indent: indent + 1) }
        text += " <\(attributes.joined(separator: ", "))>"
      }
      text += " (" + node.inputs.map(Self.reference).joined(separator: ", ") + ")\n"
    }
    text += String(repeating: "  ", count: indent) + "}" + (indent == 0 ? "\n" : "")
  }

  // MARK: Attributes

  private func print(attribute: Attribute, indent: Int) -> String {
    let type = Self.attributeTypeName(attribute.type ?? attribute.payload.typeCode)
    if let reference = attribute.referenceName, !reference.isEmpty {
      return "\(attribute.name): \(type) = @\(reference)"
    }
    return "\(attribute.name): \(type) = \(value(attribute.payload, indent: indent))"
  }

  private func value(_ payload: Attribute.Payload, indent: Int) -> String {
    func list<T>(_ items: [T], _ text: (T) -> String) -> String {
      "[" + items.map(text).joined(separator: ", ") + "]"
    }
    switch payload {
    case .none: return "[]"
    case .float(let value): return Self.text(value)
    case .int(let value): return String(value)
    case .string(let bytes): return Self.quoted(bytes)
    case .tensor(let literal): return tensorValue(literal)
    case .graph(let graph): return nested(graph, indent: indent)
    case .sparseTensor(let sparse): return sparseValue(sparse)
    case .type(let type): return Self.text(type)
    case .floats(let values): return list(values, Self.text)
    case .ints(let values): return list(values) { String($0) }
    case .strings(let values): return list(values, Self.quoted)
    case .tensors(let literals): return list(literals, tensorValue)
    case .graphs(let graphs): return list(graphs) { nested($0, indent: indent) }
    case .sparseTensors(let sparse): return list(sparse, sparseValue)
    case .types(let types): return list(types) { Self.text($0) }
    }
  }

  /// The syntax has only plain identifiers for names of nested graphs.
  private func nested(_ graph: Graph, indent: Int) -> String {
    var printer = TextPrinter(elementLimit: elementLimit)
    printer.print(graph, name: Self.plainIdentifier(graph.name ?? ""), indent: indent)
    return printer.text
  }

  private func tensorValue(_ literal: TensorLiteral) -> String {
    let name = literal.name.map { $0.isEmpty ? "" : Self.plainIdentifier($0) + " " } ?? ""
    return "\(Self.tensorType(literal)) \(name)\(values(literal))"
  }

  private func sparseValue(_ sparse: SparseTensorLiteral) -> String {
    let parts = [sparse.values, sparse.indices].map { $0.map(tensorValue) ?? "" }
    return "sparse[\(sparse.dims.map { String($0) }.joined(separator: ","))] (\(parts.joined(separator: ", ")))"
  }

  private static func attributeTypeName(_ code: Int32) -> String {
    let names = [
      "undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings", "tensors", "graphs",
      "sparse_tensor", "sparse_tensors", "type_proto", "type_protos",
    ]
    return names.indices.contains(Int(code)) ? names[Int(code)] : names[0]
  }

  // MARK: Tensors

  private static func tensorType(_ literal: TensorLiteral) -> String {
    let name = literal.elementType?.name ?? "undefined"
    return literal.dims.isEmpty ? name : "\(name)[\(literal.dims.map { String($0) }.joined(separator: ","))]"
  }

  private func values(_ literal: TensorLiteral) -> String {
    if literal.isExternal, literal.external == nil || elementLimit != nil {
      let entries = literal.externalData.map { "\(Self.quoted($0.key ?? "")): \(Self.quoted($0.value ?? ""))" }
      return "[\(entries.joined(separator: ", "))]"
    }
    guard let tensor = try? literal.tensor() else { return "{}" }
    return "{" + Self.elements(tensor).joined(separator: ",") + "}"
  }

  private static func elements(_ tensor: Tensor) -> [String] {
    func codes<T: TensorElement & BinaryInteger>(_ type: T.Type) -> [String] { tensor.array(T.self).map { String($0) } }
    switch tensor.elementType {
    case .float32: return tensor.array(Float.self).map(text)
    case .float64: return tensor.array(Double.self).map(text)
    case .string: return (tensor.strings ?? []).map(quoted)
    case .int64: return codes(Int64.self)
    case .int32: return codes(Int32.self)
    case .int16: return codes(Int16.self)
    case .int8: return codes(Int8.self)
    case .uint64: return codes(UInt64.self)
    case .uint32: return codes(UInt32.self)
    case .uint16, .float16, .bfloat16: return codes(UInt16.self)
    case .complex64:
      return tensor.withBytes { bytes in bytes.bindMemory(to: Float.self).map(text) }
    case .complex128:
      return tensor.withBytes { bytes in bytes.bindMemory(to: Double.self).map(text) }
    default: return tensor.withBytes { bytes in bytes.map { String($0) } }
    }
  }

  // MARK: Types

  /// A type as declarations spell it; "" where it is unknown.
  package static func text(_ type: ValueType?) -> String {
    switch type?.kind {
    case nil, .some(.none): ""
    case .tensor(let tensor): text(tensor)
    case .sparseTensor(let tensor): "sparse_tensor(\(text(tensor)))"
    case .sequence(let element): "seq(\(text(element)))"
    case .optional(let element): "optional(\(text(element)))"
    case .map(let key, let value):
      "map(\(key.flatMap(ElementType.init)?.name ?? "undefined"), \(text(value)))"
    case .opaque: ""
    }
  }

  private static func text(_ type: ValueType.TensorType) -> String {
    let name = type.elementType.flatMap(ElementType.init)?.name ?? "undefined"
    guard let shape = type.shape else { return "\(name)[]" }
    guard !shape.isEmpty else { return name }
    let dims = shape.map { dimension in
      switch dimension.extent {
      case .unknown: "?"
      case .value(let extent): String(extent)
      case .parameter(let name): quotedIdentifier(name)
      }
    }
    return "\(name)[\(dims.joined(separator: ","))]"
  }

  // MARK: Words

  /// Absent values have the empty name.
  private static func reference(_ value: Value?) -> String { quotedIdentifier(value?.name ?? "") }

  private static func text<T: BinaryFloatingPoint & LosslessStringConvertible>(_ value: T) -> String {
    value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : String(value)
  }

  private static func isPlain(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(48...57).contains(first) else { return false }
    return name.utf8.allSatisfy { isWordByte($0) }
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == 95
  }

  private static let types = Set(ElementType.allCases.map(\.name) + ["seq", "map", "optional", "sparse_tensor"])

  private static func quotedIdentifier(_ name: String) -> String {
    isPlain(name) && !types.contains(name) ? name : quoted(name)
  }

  private static func plainIdentifier(_ name: String) -> String {
    if isPlain(name) { return name }
    let word = String(decoding: name.utf8.map { isWordByte($0) ? $0 : 95 }, as: UTF8.self)
    return "g_\(word)"
  }

  private static func quoted(_ string: String) -> String { quoted(Array(string.utf8)) }

  private static func quoted(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = [34]
    for byte in bytes {
      if byte == 34 || byte == 92 { result.append(92) }
      result.append(byte)
    }
    return String(decoding: result + [34], as: UTF8.self)
  }
}
