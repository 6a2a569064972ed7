import ONNXGraph
import ONNXTensor

/// Matrix product of quantized tensors: exact 32-bit sums, then one float32 multiplication and rounding.
///
/// Opsets 10, 21. Parameters of A may be per row, those of B per column. The float8 types of opset 21 are multiplied
/// as reals.
enum QLinearMatMul: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let a = try inputs[0]
      let b = try inputs[3]
      let shape = try MatrixProductShape(a: a.shape, b: b.shape)
      try CheckedSize.check(shape.output, of: .float32)
      let aScale = try inputs[1]
      let bScale = try inputs[4]
      let yZero = try inputs[7]
      let yScale: Float = try inputs[6].scalarReal("the output scale")
      if MinifloatFormat(a.elementType) != nil {
        let sums = shape.multiply(try a.reals(Float.self), try b.reals(Float.self))
        return try minifloat(try scaled(sums, shape, aScale, bScale, yScale), shape.output, yZero)
      }
      let sums = shape.multiply(
        try MatMulInteger.centred(a, try inputs[2], axis: -2, what: "input 0"),
        try MatMulInteger.centred(b, try inputs[5], axis: -1, what: "input 3"))
      let requantizer = try Requantizer(scale: try inputs[6], zeroPoint: yZero, default: a.elementType)
      let steps = try scaled(sums.map { Float($0) }, shape, aScale, bScale, yScale)
      return requantizer.tensor(steps.map { requantizer.code($0) }, shape: shape.output)
    }
  }

  private static func scaled(
    _ sums: [Float], _ shape: MatrixProductShape, _ aScale: Tensor, _ bScale: Tensor, _ yScale: Float
  ) throws -> [Float] {
    let left = try aScale.reals(Float.self)
    let right = try bScale.reals(Float.self)
    let target = shape.batch + [shape.m, shape.n]
    let rows = try MatMulInteger.parameterStrides(aScale.shape, of: target, axis: -2, what: "the scale of input 0")
    let columns = try MatMulInteger.parameterStrides(bScale.shape, of: target, axis: -1, what: "the scale of input 3")
    var index = [Int](repeating: 0, count: target.count)
    return sums.map { sum in
      var (i, j) = (0, 0)
      for axis in target.indices {
        i += index[axis] * rows[axis]
        j += index[axis] * columns[axis]
      }
      advance(&index, in: target)
      return sum * (left[i] * right[j] / yScale)
    }
  }

  private static func minifloat(_ values: [Float], _ shape: [Int], _ zeroPoint: Tensor) throws -> Tensor {
    guard let format = MinifloatFormat(zeroPoint.elementType) else {
      throw OperatorError("the output zero point has type \(zeroPoint.elementType.name)")
    }
    return Tensor(codes: values.map { format.encode($0) }, elementType: zeroPoint.elementType, shape: shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [
      InferredValue(
        inputs.elementType(7) ?? inputs.elementType(0),
        extents: MatMul.inferExtents(inputs.extents(0), inputs.extents(3)))
    ]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    MatMul.macs(node, inputs: inputs, outputs: outputs)
  }
}
