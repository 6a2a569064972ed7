import ONNXGraph
import ONNXTensor

/// A sequence of the inputs. Opset 11.
package enum SequenceConstruct: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in
      let elements = values.compactMap { $0 }
      try requireSameType(elements.compactMap(\.tensor))
      return [.sequence(elements)]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    SequenceTypes.sequence(of: inputs)
  }
}

/// A sequence without elements. Opset 11.
package enum SequenceEmpty: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel { Kernel { _, _ in [.sequence([])] } }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let type = try node.elementType("dtype") ?? .float32
    return [InferredValue(ValueType(.sequence(.tensor(type, nil))))]
  }
}

/// The element at a position, negative ones from the end. Opset 11.
package enum SequenceAt: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in
      let elements = try sequence(values, 0)
      let index = try TensorInputs(values)[1].integer("the position")
      guard index >= -elements.count, index < elements.count else {
        throw OperatorError("position \(index) is outside of a sequence of \(elements.count)")
      }
      return [elements[index < 0 ? index + elements.count : index]]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard case .sequence(let element?) = ShapeInference.input(inputs, 0)?.type.kind else { return [] }
    return [InferredValue(element)]
  }
}

/// The sequence without the element at a position, by default the last. Opset 11.
package enum SequenceErase: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in
      var elements = try sequence(values, 0)
      let index = try TensorInputs(values).optional(1)?.integer("the position") ?? -1
      guard index >= -elements.count, index < elements.count else {
        throw OperatorError("position \(index) is outside of a sequence of \(elements.count)")
      }
      elements.remove(at: index < 0 ? index + elements.count : index)
      return [.sequence(elements)]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    Array(inputs.prefix(1))
  }
}

/// The sequence with a tensor inserted at a position, by default the end. Opset 11.
package enum SequenceInsert: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in
      var elements = try sequence(values, 0)
      let inputs = TensorInputs(values)
      let tensor = try inputs[1]
      try requireSameType([tensor] + elements.compactMap(\.tensor))
      let index = try inputs.optional(2)?.integer("the position") ?? elements.count
      guard index >= -elements.count, index <= elements.count else {
        throw OperatorError("position \(index) is outside of a sequence of \(elements.count)")
      }
      elements.insert(.tensor(tensor), at: index < 0 ? index + elements.count : index)
      return [.sequence(elements)]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard case .sequence(let element) = ShapeInference.input(inputs, 0)?.type.kind else { return [] }
    return SequenceTypes.sequence(of: [element.map { InferredValue($0) }, ShapeInference.input(inputs, 1)])
  }
}

/// The number of elements. Opset 11.
package enum SequenceLength: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in [.tensor(Tensor(scalar: Int64(try sequence(values, 0).count)))] }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [.tensor(.int64, [])]
  }
}

/// The parts of a tensor along an axis as a sequence. Opsets 11–24.
package enum SplitToSequence: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 0)
    let keepsDimensions = try node.bool("keepdims", default: true)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      let axis = try ShapeArithmetic.axis(axis, rank: x.rank)
      let extent = x.shape[axis]
      let split = try inputs.optional(1)
      let lengths: [Int]
      if let split, split.rank > 0 {
        lengths = try Split.lengths(split.integers("the lengths"), extent: extent, parts: 0)
      } else {
        let given = try split?.integer("the length") ?? 1
        guard given > 0 else { throw OperatorError("the length of the parts is \(given)") }
        let length = min(given, max(extent, 1))
        lengths = stride(from: 0, to: extent, by: length).map { min(length, extent - $0) }
      }
      var parts = try DenseElements.applyAll([x]) { Split.cut($0[0], axis: axis, lengths, context) }
      if split == nil && !keepsDimensions {
        var shape = x.shape
        shape.remove(at: axis)
        parts = parts.map { $0.reshaped(shape) }
      }
      return [.sequence(parts.map { .tensor($0) })]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let x = ShapeInference.input(inputs, 0) else { return [] }
    var dims = x.dimensions
    if let rank = dims?.count {
      let axis = try ShapeArithmetic.axis(node.int("axis", default: 0), rank: rank)
      if node.hasInput(1) {
        dims?[axis] = .unknown
      } else if try node.bool("keepdims", default: true) {
        dims?[axis] = .known(1)
      } else {
        dims?.remove(at: axis)
      }
    }
    return [InferredValue(ValueType(.sequence(InferredValue.tensor(x.elementType, dimensions: dims).type)))]
  }
}

/// The tensors of a sequence concatenated, or (`new_axis`) stacked. Opset 11.
package enum ConcatFromSequence: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let axis = try node.int("axis") else { throw OperatorError("attribute 'axis' is missing") }
    let stacks = try node.bool("new_axis", default: false)
    return Kernel { values, context in
      let tensors = try sequence(values, 0).map { value -> Tensor in
        guard let tensor = value.tensor else { throw OperatorError("an element is not a tensor") }
        return tensor
      }
      guard let first = tensors.first else { throw OperatorError("the sequence is empty") }
      guard stacks else { return [.tensor(try Concat.concatenate(tensors, axis: axis, context))] }
      let place = try ShapeArithmetic.axis(axis, rank: first.rank + 1)
      let expanded = try tensors.map { tensor in
        guard tensor.rank == first.rank else { throw OperatorError("the elements have different ranks") }
        var shape = tensor.shape
        shape.insert(1, at: place)
        return tensor.reshaped(shape)
      }
      return [.tensor(try Concat.concatenate(expanded, axis: place, context))]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard case .sequence(let element?) = ShapeInference.input(inputs, 0)?.type.kind else { return [] }
    guard var dims = element.tensorType?.shape, let axis = try node.int("axis") else {
      return [.tensor(element.elementType, dimensions: nil)]
    }
    if try node.bool("new_axis", default: false) {
      dims.insert(.unknown, at: try ShapeArithmetic.axis(axis, rank: dims.count + 1))
    } else {
      dims[try ShapeArithmetic.axis(axis, rank: dims.count)] = .unknown
    }
    return [.tensor(element.elementType, dimensions: dims)]
  }
}

/// A graph applied to each element of a sequence, beside it elements of further sequences or whole tensors. Opset 17.
package enum SequenceMap: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let body = try node.graph("body")
    return Kernel { values, context in
      let count = try sequence(values, 0).count
      var results = [[RuntimeValue]](repeating: [], count: body.outputs.count)
      for index in 0..<count {
        let inputs = try values.map { value -> RuntimeValue? in
          guard case .sequence(let elements) = value else { return value }
          guard index < elements.count else { throw OperatorError("the sequences have different lengths") }
          return elements[index]
        }
        for (place, value) in try context.runGraph(body, inputs).enumerated() where place < results.count {
          results[place].append(value)
        }
      }
      return results.map { .sequence($0) }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try node.outputTypes(of: node.graph("body")).map { InferredValue(ValueType(.sequence($0))) }
  }

  package static func bodyInputs(
    _ node: OperatorNode, _ body: Graph, _ inputs: [InferredValue?]
  ) -> [InferredValue?]? {
    inputs.map { input in
      guard case .sequence(let element) = input?.type.kind else { return input.map { InferredValue($0.type) } }
      return element.map { InferredValue($0) }
    }
  }
}

/// The elements of a sequence input.
private func sequence(_ values: [RuntimeValue?], _ index: Int) throws -> [RuntimeValue] {
  guard index < values.count, let value = values[index] else { throw OperatorError("input \(index) is missing") }
  switch value {
  case .sequence(let elements), .optional(.sequence(let elements)): return elements
  default: throw OperatorError("input \(index) is not a sequence")
  }
}

private enum SequenceTypes {
  /// A sequence of elements that are what all the inputs are.
  static func sequence(of inputs: [InferredValue?]) -> [InferredValue?] {
    guard let first = inputs.first ?? nil else { return [] }
    var dims = first.dimensions
    for input in inputs.dropFirst() {
      guard let other = input?.dimensions, let own = dims, own.count == other.count else {
        dims = nil
        break
      }
      dims = zip(own, other).map { $0.common(with: $1) }
    }
    return [InferredValue(ValueType(.sequence(InferredValue.tensor(first.elementType, dimensions: dims).type)))]
  }
}
