import ONNXGraph
import ONNXTensor

/// Each element replaced by the value of its key, or a default. `ai.onnx.ml` 1–4.
package enum LabelEncoder: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard node.node.attribute("classes_strings") == nil else { return try first(node) }
    guard let keys = try list(node, "keys"), let values = try list(node, "values") else {
      throw OperatorError("the attributes 'keys_…' or 'values_…' are missing")
    }
    guard keys.count == values.count else { throw OperatorError("\(keys.count) keys for \(values.count) values") }
    let fallback = try fallback(node, values.elementType)
    return .tensors { inputs, _ in try map(inputs[0], keys, values, fallback) }
  }

  /// Opset 1: strings to their position in a list, or back.
  private static func first(_ node: OperatorNode) throws -> Kernel {
    let strings = try node.strings("classes_strings") ?? []
    let classes = Tensor(strings: strings, shape: [strings.count])
    let numbers = Tensor(strings.indices.map { Int64($0) }, shape: [strings.count])
    let number = Tensor(scalar: Int64(try node.int("default_int64", default: -1)))
    let word = Tensor(strings: [Array(try node.string("default_string", default: "_Unused").utf8)], shape: [])
    return .tensors { inputs, _ in
      let x = try inputs[0]
      return x.elementType == .string ? try map(x, classes, numbers, number) : try map(x, numbers, classes, word)
    }
  }

  private static func list(_ node: OperatorNode, _ prefix: String) throws -> Tensor? {
    if let strings = try node.strings(prefix + "_strings"), !strings.isEmpty {
      return Tensor(strings: strings, shape: [strings.count])
    }
    if let ints = try node.ints(prefix + "_int64s"), !ints.isEmpty {
      return Tensor(ints.map(Int64.init), shape: [ints.count])
    }
    if let floats = try node.floats(prefix + "_floats"), !floats.isEmpty {
      return Tensor(floats, shape: [floats.count])
    }
    return try node.tensor(prefix + "_tensor")
  }

  private static func fallback(_ node: OperatorNode, _ type: ElementType) throws -> Tensor {
    if let tensor = try node.tensor("default_tensor") {
      guard tensor.count == 1, tensor.elementType == type else { throw OperatorError("'default_tensor' does not fit") }
      return tensor.reshaped([])
    }
    switch type {
    case .string:
      return Tensor(strings: [Array(try node.string("default_string", default: "_Unused").utf8)], shape: [])
    case .float32: return Tensor(scalar: try node.float("default_float", default: -0.0))
    case .int64: return Tensor(scalar: Int64(try node.int("default_int64", default: -1)))
    default: return try ElementCast().apply(Tensor(scalar: Float(type.isFloatingPoint ? -0.0 : -1)), to: type)
    }
  }

  private static func map(_ x: Tensor, _ keys: Tensor, _ values: Tensor, _ fallback: Tensor) throws -> Tensor {
    try requireSameType([x, keys])
    let positions: [Int]
    if let words = keys.strings {
      let index = Dictionary(zip(words, words.indices)) { _, last in last }
      positions = (x.strings ?? []).map { index[$0] ?? words.count }
    } else if let numbers = keys.integers, let elements = x.integers {
      let index = Dictionary(zip(numbers, numbers.indices)) { _, last in last }
      positions = elements.map { index[$0] ?? numbers.count }
    } else if let numbers = keys.doubles, let elements = x.doubles {
      let index = Dictionary(zip(numbers, numbers.indices)) { _, last in last }
      let missing = numbers.lastIndex { $0.isNaN }
      positions = elements.map { ($0.isNaN ? missing : index[$0]) ?? numbers.count }
    } else {
      throw unsupported(keys.elementType)
    }
    let table = try Concat.concatenate([values.reshaped([values.count]), fallback.reshaped([1])], axis: 0, .init())
    return try DenseElements.apply(table) { $0.taking(positions, axis: 0, as: x.shape, pool: nil) }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if node.node.attribute("classes_strings") != nil {
      guard let type = ShapeInference.input(inputs, 0)?.elementType else { return [] }
      return ShapeInference.same(inputs, as: type == .string ? .int64 : .string)
    }
    return ShapeInference.same(inputs, as: try list(node, "values")?.elementType)
  }
}

/// Integers to strings or strings to integers by two lists. `ai.onnx.ml` 1.
package enum CategoryMapper: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let numbers = try node.ints("cats_int64s") ?? []
    let words = try node.strings("cats_strings") ?? []
    guard numbers.count == words.count else {
      throw OperatorError("\(numbers.count) integers for \(words.count) strings")
    }
    let number = Int64(try node.int("default_int64", default: -1))
    let word = Array(try node.string("default_string", default: "_Unused").utf8)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      if let strings = x.strings {
        let index = Dictionary(zip(words, numbers)) { _, last in last }
        return Tensor(strings.map { index[$0].map { Int64($0) } ?? number }, shape: x.shape)
      }
      let index = Dictionary(zip(numbers, words)) { _, last in last }
      return Tensor(strings: try x.integers("the input").map { index[$0] ?? word }, shape: x.shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let type = ShapeInference.input(inputs, 0)?.elementType else { return [] }
    return ShapeInference.same(inputs, as: type == .string ? .int64 : .string)
  }
}
