import ONNXGraph
import ONNXTensor

/// Matrix product of 8-bit integers with exact 32-bit sums; zero points per row of A and per column of B. Opset 10.
enum MatMulInteger: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let a = try inputs[0]
      let b = try inputs[1]
      let shape = try MatrixProductShape(a: a.shape, b: b.shape)
      try CheckedSize.check(shape.output, of: .int32)
      let left = try centred(a, try inputs.optional(2), axis: -2, what: "input 0")
      let right = try centred(b, try inputs.optional(3), axis: -1, what: "input 1")
      return Tensor(shape.multiply(left, right), shape: shape.output)
    }
  }

  /// Codes less zero points, which are one, one for each index of `axis`, or of the operand's shape with the other
  /// matrix axis 1.
  static func centred(_ x: Tensor, _ zeroPoint: Tensor?, axis: Int, what: String) throws -> [Int32] {
    guard x.elementType == .int8 || x.elementType == .uint8, let codes = x.integers else {
      throw OperatorError("\(what) has type \(x.elementType.name), expected int8 or uint8")
    }
    let zeros = try QuantizedOperand.zeroPoints(zeroPoint, of: x.elementType, what: what)
    let strides = try parameterStrides(
      zeroPoint?.shape ?? [], of: x.shape, axis: axis, what: "the zero point of \(what)")
    var result: [Int32] = []
    result.reserveCapacity(codes.count)
    var index = [Int](repeating: 0, count: x.rank)
    for code in codes {
      result.append(Int32(code) - Int32(zeros[zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }]))
      advance(&index, in: x.shape)
    }
    return result
  }

  /// How quantization parameters of `shape` lie over an operand of `target`.
  static func parameterStrides(_ shape: [Int], of target: [Int], axis: Int, what: String) throws -> [Int] {
    if extent(shape) == 1 { return Array(repeating: 0, count: target.count) }
    // A vector has no rows: its only axis is the last.
    let position = max(target.count + axis, 0)
    if shape.count == 1, position < target.count, shape[0] == target[position] {
      return target.indices.map { $0 == position ? 1 : 0 }
    }
    guard shape.count <= target.count, try broadcastShape(shape, target) == target else {
      throw OperatorError("\(what) has shape \(shape), which does not fit an operand of shape \(target)")
    }
    return broadcastStrides(shape, to: target)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(.int32, extents: MatMul.inferExtents(inputs.extents(0), inputs.extents(1)))]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    MatMul.macs(node, inputs: inputs, outputs: outputs)
  }
}
