import ONNXTensor

/// start, start + delta, … below limit. Opsets 11–27; float16 and bfloat16 are computed in float32 (`stash_type`).
package enum RangeOperator: Operator {
  package static var opType: String { "Range" }

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, _ in
      let bounds = [try inputs[0], try inputs[1], try inputs[2]]
      try requireSameType(bounds)
      guard bounds.allSatisfy({ $0.count == 1 }) else { throw OperatorError("start, limit and delta must be scalars") }
      let type = bounds[0].elementType
      if type.isInteger {
        let values = try bounds.map { try $0.integer("start, limit and delta") }
        let (start, delta) = (values[0], values[2])
        let (span, overflow) = values[1].subtractingReportingOverflow(start)
        guard delta != 0, !overflow else { throw OperatorError("start, limit and delta are \(values)") }
        let whole = span.dividedReportingOverflow(by: delta).partialValue
        let rest = span.remainderReportingOverflow(dividingBy: delta).partialValue
        let count = max(0, rest != 0 && (span < 0) == (delta < 0) ? try ShapeArithmetic.sum(whole, 1) : whole)
        try ShapeArithmetic.check([count], .int64)
        return try ElementCast().apply(
          Tensor((0..<count).map { Int64(start &+ $0 &* delta) }, shape: [count]), to: type)
      }
      guard let values = bounds.map(\.doubles) as? [[Double]] else { throw unsupported(type) }
      let (start, limit, delta) = (values[0][0], values[1][0], values[2][0])
      let steps = ((limit - start) / delta).rounded(.up)
      guard steps.magnitude < 0x1p40, delta != 0 else { throw OperatorError("start, limit and delta are \(values)") }
      let count = max(0, Int(steps))
      try ShapeArithmetic.check([count], .float64)
      let elements =
        type == .float64
        ? Tensor((0..<count).map { start + Double($0) * delta }, shape: [count])
        : Tensor((0..<count).map { Float(start) + Float($0) * Float(delta) }, shape: [count])
      return elements.narrowed(to: type)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    return [.tensor(inputs.lazy.compactMap { $0?.elementType }.first, dimensions: [.unknown])]
  }
}
