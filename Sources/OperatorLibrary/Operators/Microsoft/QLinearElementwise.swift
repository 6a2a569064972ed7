import ONNXGraph
import ONNXTensor

/// The sum of two quantized tensors.
enum QLinearAdd: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { QLinearForm.binary { $0 + $1 } }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    QLinearForm.inferBinary(inputs)
  }
}

/// The product of two quantized tensors.
enum QLinearMul: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { QLinearForm.binary { $0 * $1 } }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    QLinearForm.inferBinary(inputs)
  }
}

/// The logistic function of a quantized tensor.
enum QLinearSigmoid: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { QLinearForm.unary { Float.sigmoid($0) } }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
}

/// x, or alpha x below zero, of a quantized tensor.
enum QLinearLeakyRelu: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let alpha = try node.float("alpha", default: 0.01)
    return QLinearForm.unary { $0 < 0 ? alpha * $0 : $0 }
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
}

/// Softmax of a quantized tensor; all axes from `axis` on together below opset 13.
enum QLinearSoftmax: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let opset = try node.int("opset", default: 13)
    let axis = try node.int("axis", default: opset < 13 ? 1 : -1)
    return .tensors { inputs, context in
      let x = try QuantizedOperand(
        try inputs[0], scale: try inputs[1], zeroPoint: try inputs.optional(2), what: "the input")
      let requantizer = try Requantizer(
        scale: try inputs[3], zeroPoint: try inputs.optional(4), default: x.elementType)
      let position = try CheckedSize.axis(axis, rank: x.shape.count)
      let split =
        opset < 13
        ? AxisSplit(outer: extent(x.shape[..<position]), count: extent(x.shape[position...]), inner: 1)
        : try AxisSplit(x.shape, axis: axis)
      var values = x.centred.map { Float($0) * x.scales[0] }
      SoftmaxFamily.apply(&values, split, .probabilities)
      return requantizer.quantize(values, shape: x.shape)
    }
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
}

/// Quantized tensors, each with its own parameters, one after the other.
enum QLinearConcat: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let axis = try node.int("axis") else { throw OperatorError("attribute 'axis' is missing") }
    return .tensors { inputs, context in
      guard inputs.count >= 5, inputs.count % 3 == 2 else {
        throw OperatorError("\(inputs.count) inputs, expected 2 and 3 for each tensor")
      }
      let parts = try stride(from: 2, to: inputs.count, by: 3).map { index in
        try QuantizedOperand(
          try inputs[index], scale: try inputs[index + 1], zeroPoint: try inputs.optional(index + 2),
          what: "input \(index)")
      }
      let requantizer = try Requantizer(
        scale: try inputs[0], zeroPoint: try inputs.optional(1), default: parts[0].elementType)
      let axis = try CheckedSize.axis(axis, rank: parts[0].shape.count)
      var shape = parts[0].shape
      for part in parts.dropFirst() {
        guard part.shape.count == shape.count,
          shape.indices.allSatisfy({ $0 == axis || part.shape[$0] == shape[$0] })
        else { throw OperatorError("shapes \(parts[0].shape) and \(part.shape) cannot be joined along axis \(axis)") }
        shape[axis] = try CheckedSize.add(shape[axis], part.shape[axis])
      }
      try CheckedSize.check(shape, of: .int64)
      var codes: [Int] = []
      codes.reserveCapacity(extent(shape))
      for row in 0..<extent(shape[..<axis]) {
        for part in parts {
          let width = extent(part.shape[axis...])
          for value in part.centred[(row * width)..<((row + 1) * width)] {
            codes.append(requantizer.code(Float(value) * part.scales[0] / requantizer.scale))
          }
        }
      }
      return requantizer.tensor(codes, shape: shape)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let axis = try node.int("axis"), var extents = inputs.extents(2) else {
      return [InferredValue(inputs.elementType(2), extents: nil)]
    }
    let position = try CheckedSize.axis(axis, rank: extents.count)
    for index in stride(from: 5, to: inputs.count, by: 3) {
      let sum = extents[position].known.flatMap { a in inputs.extents(index)?[safe: position]?.known.map { a &+ $0 } }
      extents[position] = sum.map { Extent($0) } ?? .unknown
    }
    return [InferredValue(inputs.elementType(2), extents: extents)]
  }
}

/// Elementwise functions of reals between quantized tensors.
enum QLinearForm {
  static func unary(_ function: @escaping (Float) -> Float) -> Kernel {
    .tensors { inputs, context in
      let x = try QuantizedOperand(
        try inputs[0], scale: try inputs[1], zeroPoint: try inputs.optional(2), what: "the input")
      let requantizer = try Requantizer(
        scale: try inputs[3], zeroPoint: try inputs.optional(4), default: x.elementType)
      return requantizer.quantize(x.centred.map { function(Float($0) * x.scales[0]) }, shape: x.shape)
    }
  }

  static func binary(_ function: @escaping (Float, Float) -> Float) -> Kernel {
    .tensors { inputs, context in
      let a = try QuantizedOperand(
        try inputs[0], scale: try inputs[1], zeroPoint: try inputs.optional(2), what: "input A")
      let b = try QuantizedOperand(
        try inputs[3], scale: try inputs[4], zeroPoint: try inputs.optional(5), what: "input B")
      let requantizer = try Requantizer(
        scale: try inputs[6], zeroPoint: try inputs.optional(7), default: a.elementType)
      let shape = try broadcastShape(a.shape, b.shape)
      try CheckedSize.check(shape, of: .int64)
      let (left, right) = (broadcastStrides(a.shape, to: shape), broadcastStrides(b.shape, to: shape))
      var index = [Int](repeating: 0, count: shape.count)
      let values = (0..<extent(shape)).map { _ -> Float in
        var (i, j) = (0, 0)
        for axis in shape.indices {
          i += index[axis] * left[axis]
          j += index[axis] * right[axis]
        }
        advance(&index, in: shape)
        return function(Float(a.centred[i]) * a.scales[0], Float(b.centred[j]) * b.scales[0])
      }
      return requantizer.quantize(values, shape: shape)
    }
  }

  static func inferBinary(_ inputs: [InferredValue?]) -> [InferredValue?] {
    [InferredValue(inputs.elementType(0), extents: broadcastExtents(inputs.extents(0), inputs.extents(3)))]
  }
}
