import Glibc
import ONNXGraph
import ONNXTensor

/// The matrix that takes a spectrum to mel bands: overlapping triangles. Opset 17.
enum MelWeightMatrix: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let type = try outputType(node)
    return .tensors { inputs, context in
      let bands = try inputs[0].scalarInteger("num_mel_bins")
      let length = try inputs[1].scalarInteger("dft_length")
      let rate = try inputs[2].scalarInteger("sample_rate")
      let low = try inputs[3].scalarReal("lower_edge_hertz", as: Double.self)
      let high = try inputs[4].scalarReal("upper_edge_hertz", as: Double.self)
      guard bands >= 0, length >= 0, rate > 0, low.isFinite, high.isFinite else {
        throw OperatorError("\(bands) bands of a transform of \(length) at rate \(rate) from \(low) to \(high) Hz")
      }
      let rows = length / 2 + 1
      let shape = [rows, bands]
      try CheckedSize.check(shape, of: .float64)
      try CheckedSize.check([try CheckedSize.add(bands, 2)], of: .float64)
      func mel(_ hertz: Double) -> Double { 2595 * log1p(hertz / 700) / log(10) }
      let start = mel(low)
      let step = (mel(high) - start) / Double(bands + 2)
      let edges = try (0..<bands + 2).map { index -> Int in
        let hertz = 700 * expm1((Double(index) * step + start) / 2595 * log(10))
        let bin = ((Double(length) + 1) * hertz / Double(rate)).rounded(.down)
        guard bin >= 0, bin < Double(rows) else { throw OperatorError("\(hertz) Hz lies outside the spectrum") }
        return Int(bin)
      }
      var y = [Double](repeating: 0, count: rows * bands)
      for band in 0..<bands {
        let (left, centre, right) = (edges[band], edges[band + 1], edges[band + 2])
        if left >= centre {
          y[centre * bands + band] = 1
        } else {
          for row in left...centre { y[row * bands + band] = Double(row - left) / Double(centre - left) }
        }
        for row in centre..<max(right, centre) {
          y[row * bands + band] = Double(right - row) / Double(right - centre)
        }
      }
      return try ElementCast().apply(Tensor(y, shape: shape), to: type, pool: context.pool)
    }
  }

  private static func outputType(_ node: OperatorNode) throws -> ElementType {
    let code = try node.int("output_datatype", default: 1)
    guard let type = ElementType(rawValue: Int32(truncatingIfNeeded: code)), type != .string, type != .bool else {
      throw OperatorError("attribute 'output_datatype' is \(code)")
    }
    return type
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let rows = inputs.constant(1)?.integers?.first.map { Extent($0 / 2 + 1) } ?? .unknown
    let bands = inputs.constant(0)?.integers?.first.map { Extent($0) } ?? .unknown
    return [InferredValue(try outputType(node), extents: [rows, bands])]
  }
}
