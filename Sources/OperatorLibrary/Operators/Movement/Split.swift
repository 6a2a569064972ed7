import ONNXTensor

/// Parts of a tensor along `axis`: lengths given, or equal with (opset 18) a shorter last one. Opsets 1–18.
package enum Split: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: 0)
    let attribute = node.opset < 13 ? try node.ints("split") : nil
    let parts = node.opset < 18 ? nil : try node.int("num_outputs")
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      let axis = try ShapeArithmetic.axis(axis, rank: x.rank)
      let given = try attribute ?? inputs.optional(1)?.integers("split")
      let lengths = try lengths(given, extent: x.shape[axis], parts: parts ?? context.outputCount)
      guard lengths.count >= context.outputCount else {
        throw OperatorError("there are \(context.outputCount) outputs for \(lengths.count) parts")
      }
      return try DenseElements.applyAll([x]) { cut($0[0], axis: axis, lengths, context) }.map { .tensor($0) }
    }
  }

  static func lengths(_ given: [Int]?, extent: Int, parts: Int) throws -> [Int] {
    if let given {
      guard given.allSatisfy({ $0 >= 0 }), try ShapeArithmetic.sum(given) == extent else {
        throw OperatorError("parts of \(given) do not make up \(extent)")
      }
      return given
    }
    guard parts > 0, parts <= 1 << 20 else { throw OperatorError("the number of parts is \(parts)") }
    let length = (extent + parts - 1) / parts
    guard parts <= 1 || length * (parts - 1) <= extent else {
      throw OperatorError("\(extent) cannot be split into \(parts) parts")
    }
    return Array(repeating: length, count: parts - 1) + [extent - length * (parts - 1)]
  }

  static func cut(_ x: Tensor, axis: Int, _ lengths: [Int], _ context: EvaluationContext) -> [Tensor] {
    let strides = ShapeArithmetic.strides(x.shape)
    var start = 0
    return lengths.map { length in
      var shape = x.shape
      shape[axis] = length
      defer { start += length }
      return x.gathered(shape: shape, strides: strides, offset: start * strides[axis], pool: context.pool)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    let count = node.node.outputs.count
    guard let dims = x?.dimensions else {
      return Array(repeating: .tensor(x?.elementType, dimensions: nil), count: count)
    }
    let axis = try ShapeArithmetic.axis(node.int("axis", default: 0), rank: dims.count)
    let given = node.opset < 13 ? try node.ints("split") : ShapeInference.integers(inputs, 1)
    var lengths: [Int]?
    if let given {
      lengths = given
    } else if !(node.opset >= 13 && node.hasInput(1)), let extent = dims[axis].known {
      lengths = try Self.lengths(nil, extent: extent, parts: node.int("num_outputs") ?? count)
    }
    return (0..<count).map { index in
      var part = dims
      part[axis] = lengths.flatMap { index < $0.count ? .known($0[index]) : nil } ?? .unknown
      return .tensor(x?.elementType, dimensions: part)
    }
  }

  package static var quantization: QuantizationTraits { .movement }
}
