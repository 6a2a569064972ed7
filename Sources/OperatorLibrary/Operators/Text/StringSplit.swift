import ONNXTensor

/// Substrings between delimiters (without one: between runs of white space), filled up with empty strings to one length,
/// and their numbers. Opset 20.
package enum StringSplit: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let delimiter = try node.string("delimiter", default: "")
    let limit = try node.int("maxsplit").map { $0 < 0 ? Int.max : $0 } ?? Int.max
    return Kernel { values, _ in
      let x = try TensorInputs(values)[0]
      guard let strings = x.strings else { throw OperatorError("the input is not strings") }
      let parts = strings.map { bytes in
        delimiter.isEmpty ? words(bytes, limit) : split(bytes, Array(delimiter.utf8), limit)
      }
      let longest = parts.map(\.count).max() ?? 0
      try ShapeArithmetic.check(x.shape + [longest], .string)
      let padded = parts.flatMap { $0 + Array(repeating: [], count: longest - $0.count) }
      return [
        .tensor(Tensor(strings: padded, shape: x.shape + [longest])),
        .tensor(Tensor(parts.map { Int64($0.count) }, shape: x.shape)),
      ]
    }
  }

  private static func split(_ text: [UInt8], _ delimiter: [UInt8], _ limit: Int) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var start = 0
    var index = 0
    while index + delimiter.count <= text.count && result.count < limit {
      if text[index..<index + delimiter.count].elementsEqual(delimiter) {
        result.append(Array(text[start..<index]))
        index += delimiter.count
        start = index
      } else {
        index += 1
      }
    }
    result.append(Array(text[start...]))
    return result
  }

  private static func words(_ bytes: [UInt8], _ limit: Int) -> [[UInt8]] {
    var rest = String(decoding: bytes, as: UTF8.self).unicodeScalars[...]
    var result: [[UInt8]] = []
    while true {
      rest = rest.drop { $0.properties.isWhitespace }
      guard !rest.isEmpty else { return result }
      if result.count == limit {
        result.append(Array(String(rest).utf8))
        return result
      }
      let word = rest.prefix { !$0.properties.isWhitespace }
      result.append(Array(String(word).utf8))
      rest = rest.dropFirst(word.count)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let dims = ShapeInference.input(inputs, 0)?.dimensions
    return [.tensor(.string, dimensions: dims.map { $0 + [.unknown] }), .tensor(.int64, dimensions: dims)]
  }
}
