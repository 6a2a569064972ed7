import ONNXGraph
import ONNXTensor

/// Rows of scores as maps from labels to scores. `ai.onnx.ml` 1.
package enum ZipMap: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let labels = try ClassLabels(node, integers: "classlabels_int64s", strings: "classlabels_strings") else {
      throw OperatorError("there are no class labels")
    }
    let keys = labels.tensor(Array(0..<labels.count))
    return Kernel { values, context in
      let x = try TensorInputs(values)[0]
      guard x.elementType == .float32, (1...2).contains(x.rank), x.shape[x.rank - 1] == labels.count else {
        throw OperatorError("scores of shape \(x.shape) for \(labels.count) labels")
      }
      let matrix = x.reshaped([x.rank == 2 ? x.shape[0] : 1, labels.count])
      let maps = (0..<matrix.shape[0]).map { row in
        RuntimeValue.map(
          keys: keys, values: .tensor(Gathering.slice(matrix, axis: 0, at: row, pool: context.pool)))
      }
      return [.sequence(maps)]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let labels = try ClassLabels(node, integers: "classlabels_int64s", strings: "classlabels_strings")
    let map = ValueType.Kind.map(keyType: labels?.elementType.rawValue, value: .tensor(.float32, []))
    return [InferredValue(ValueType(.sequence(ValueType(map))))]
  }
}

/// The values of a map in the order of a vocabulary, zeros for keys that it lacks. `ai.onnx.ml` 1.
package enum DictVectorizer: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let vocabulary = try ClassLabels(node, integers: "int64_vocabulary", strings: "string_vocabulary") else {
      throw OperatorError("there is no vocabulary")
    }
    return Kernel { values, context in
      let (keys, elements) = try map(values)
      let wanted = vocabulary.tensor(Array(0..<vocabulary.count))
      try requireSameType([keys, wanted])
      let positions: [Int]
      if let own = keys.strings {
        let index = Dictionary(zip(own, own.indices)) { _, last in last }
        positions = (wanted.strings ?? []).map { index[$0] ?? own.count }
      } else {
        let own = try keys.integers("the keys")
        let index = Dictionary(zip(own, own.indices)) { _, last in last }
        positions = (wanted.integers ?? []).map { index[$0] ?? own.count }
      }
      let table = try Concat.concatenate([elements, .zeros(elements.elementType, shape: [1])], axis: 0, context)
      return [
        .tensor(
          try DenseElements.apply(table) {
            $0.taking(positions, axis: 0, as: [1, positions.count], pool: context.pool)
          })
      ]
    }
  }

  fileprivate static func map(_ values: [RuntimeValue?]) throws -> (keys: Tensor, values: Tensor) {
    guard case .map(let keys, let content) = values.first ?? nil, let tensor = content.tensor,
      keys.count == tensor.count
    else { throw OperatorError("input 0 is not a map") }
    return (keys.reshaped([keys.count]), tensor.reshaped([tensor.count]))
  }
}

/// The values of a map in the order of its keys, or placed by them. `ai.onnx.ml` 1.
package enum CastMap: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let names: [String: ElementType] = ["TO_FLOAT": .float32, "TO_STRING": .string, "TO_INT64": .int64]
    let target = try node.string("cast_to", default: "TO_FLOAT")
    guard let type = names[target] else { throw OperatorError("attribute 'cast_to' is '\(target)'") }
    let isSparse = try node.string("map_form", default: "DENSE") == "SPARSE"
    let length = try node.int("max_map", default: 1)
    return Kernel { values, context in
      let (keyTensor, content) = try DictVectorizer.map(values)
      let keys = try keyTensor.integers("the keys")
      let elements = try ElementCast().apply(content, to: type)
      let order = keys.indices.sorted { keys[$0] < keys[$1] }
      var positions = order
      if isSparse {
        try ShapeArithmetic.check([length], type)
        guard keys.allSatisfy({ (0..<length).contains($0) }) else {
          throw OperatorError("a key is outside of \(length)")
        }
        positions = Array(repeating: keys.count, count: length)
        for index in order { positions[keys[index]] = index }
      }
      let table = try Concat.concatenate([elements, .zeros(type, shape: [1])], axis: 0, context)
      return [
        .tensor(
          try DenseElements.apply(table) {
            $0.taking(positions, axis: 0, as: [1, positions.count], pool: context.pool)
          })
      ]
    }
  }
}
