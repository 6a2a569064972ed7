import ONNXTensor

/// Strings without stop words, in upper or lower case. Opset 10; case mapping is Unicode's, whatever the `locale`.
package enum StringNormalizer: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let action = try node.string("case_change_action", default: "NONE")
    guard ["NONE", "LOWER", "UPPER"].contains(action) else {
      throw OperatorError("attribute 'case_change_action' is '\(action)'")
    }
    let isCaseSensitive = try node.bool("is_case_sensitive", default: false)
    func key(_ bytes: [UInt8]) -> String {
      let text = String(decoding: bytes, as: UTF8.self)
      return isCaseSensitive ? text : text.lowercased()
    }
    let stopWords = Set(try node.strings("stopwords")?.map(key) ?? [])
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard let strings = x.strings else { throw OperatorError("the input is not strings") }
      guard x.rank == 1 || (x.rank == 2 && x.shape[0] == 1) else {
        throw OperatorError("the input has shape \(x.shape), it must be [C] or [1, C]")
      }
      var kept = strings.filter { !stopWords.contains(key($0)) }
      if action != "NONE" {
        kept = kept.map { bytes in
          let text = String(decoding: bytes, as: UTF8.self)
          return Array((action == "LOWER" ? text.lowercased() : text.uppercased()).utf8)
        }
      }
      if kept.isEmpty { kept = [[]] }
      return Tensor(strings: kept, shape: x.shape.dropLast() + [kept.count])
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let dims = ShapeInference.input(inputs, 0)?.dimensions, !dims.isEmpty else { return [] }
    return [.tensor(.string, dimensions: dims.dropLast() + [.unknown])]
  }
}
