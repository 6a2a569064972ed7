import ONNXTensor

/// The upper or lower triangle of matrices from diagonal k on, zeros elsewhere. Opset 14.
package enum Trilu: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isUpper = try node.bool("upper", default: true)
    return .tensors { inputs, context in
      let input = try inputs[0]
      let k = try inputs.optional(1)?.integer("k") ?? 0
      guard input.rank >= 2 else { throw OperatorError("the input has rank \(input.rank)") }
      if input.elementType == .string { throw unsupported(.string) }
      return try DenseElements.apply(input) { x in
        let (rows, columns) = (x.shape[x.rank - 2], x.shape[x.rank - 1])
        let size = x.elementBytes
        // Diagonals outside the matrix are all alike.
        let diagonal = k.clamped(to: -rows - 1...columns + 1)
        return x.withBytes { source in
          Tensor(x.elementType, shape: x.shape, pool: context.pool) { out in
            out.initializeMemory(as: UInt8.self, repeating: 0)
            guard let from = source.baseAddress, let to = out.baseAddress, out.count > 0 else { return }
            for row in 0..<x.count / columns {
              let edge = row % rows + diagonal
              let kept = isUpper ? max(0, edge)..<max(columns, edge, 0) : 0..<min(columns, max(0, edge + 1))
              let start = min(kept.lowerBound, columns)
              let count = min(kept.upperBound, columns) - start
              guard count > 0 else { continue }
              let offset = (row * columns + start) * size
              (to + offset).copyMemory(from: from + offset, byteCount: count * size)
            }
          }
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}
