import ONNXGraph
import ONNXTensor

/// alpha A' B' + C of quantized matrices with exact 32-bit sums; float32 when no output parameters are given.
enum QGemm: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Gemm.Attributes(node)
    return .tensors { inputs, context in
      let a = try QuantizedOperand(
        try inputs[0], scale: try inputs[1], zeroPoint: try inputs.optional(2), what: "input A")
      let b = try QuantizedOperand(
        try inputs[3], scale: try inputs[4], zeroPoint: try inputs.optional(5),
        axis: try inputs[3].rank == 2 ? (attributes.transB ? 0 : 1) : nil, what: "input B")
      let (m, n, k) = try attributes.sizes(a.shape, b.shape)
      try CheckedSize.check([m, n], of: .int64)
      var sums = [Int32](repeating: 0, count: m * n)
      sums.withUnsafeMutableBufferPointer { sums in
        a.centred.withUnsafeBufferPointer { left in
          b.centred.withUnsafeBufferPointer { right in
            guard sums.count > 0 else { return }
            multiplyMatrices(
              m: m, n: n, k: k, a: left[...], rows: attributes.transA ? (1, m) : (k, 1), b: right[...],
              columns: attributes.transB ? (1, k) : (n, 1), into: sums)
          }
        }
      }
      if let c = try inputs.optional(6) {
        try c.require(.int32, "input C")
        guard try broadcastShape(c.shape, [m, n]) == [m, n] else {
          throw OperatorError("input C of shape \(c.shape) does not broadcast to \([m, n])")
        }
        let strides = broadcastStrides(c.shape, to: [m, n])
        let added = c.array(Int32.self)
        for index in sums.indices { sums[index] &+= added[index / n * strides[0] + index % n * strides[1]] }
      }
      let factors = (0..<n).map { attributes.alpha * a.scales[0] * b.scale($0) }
      guard let outputScale = try inputs.optional(7) else {
        return Tensor(sums.enumerated().map { Float($1) * factors[$0 % n] }, shape: [m, n])
      }
      let requantizer = try Requantizer(
        scale: outputScale, zeroPoint: try inputs.optional(8), default: a.elementType)
      return requantizer.tensor(
        sums.enumerated().map { requantizer.code(Float($1) * (factors[$0 % n] / requantizer.scale)) }, shape: [m, n])
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let attributes = try Gemm.Attributes(node)
    let isFloat = inputs.count < 8 || inputs[7] == nil
    let type = isFloat ? .float32 : inputs.elementType(8) ?? inputs.elementType(0)
    guard let a = inputs.extents(0), a.count == 2, let b = inputs.extents(3), b.count == 2 else {
      return [InferredValue(type, extents: nil)]
    }
    return [InferredValue(type, extents: [a[attributes.transA ? 1 : 0], b[attributes.transB ? 0 : 1]])]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    Gemm.macs(node, inputs: inputs, outputs: outputs)
  }
}
