import ONNXGraph
import ONNXTensor

/// Writes an update into a cache along the sequence axis, for each sample at its own place. Opset 24.
enum TensorScatter: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: -2)
    let isCircular: Bool
    switch try node.string("mode", default: "linear") {
    case "linear": isCircular = false
    case "circular": isCircular = true
    case let other: throw OperatorError("attribute 'mode' is '\(other)'")
    }
    return .tensors { inputs, context in
      let cache = try inputs[0]
      let update = try inputs[1]
      try update.require(cache.elementType, "the update")
      let axis = try CheckedSize.axis(axis, rank: cache.rank)
      guard axis > 0, update.rank == cache.rank,
        cache.shape.indices.allSatisfy({ $0 == axis || cache.shape[$0] == update.shape[$0] })
      else { throw OperatorError("an update of \(update.shape) does not fit a cache of \(cache.shape)") }
      let starts = try inputs.optional(2)?.integers ?? Array(repeating: 0, count: cache.shape[0])
      let (limit, length) = (cache.shape[axis], update.shape[axis])
      guard starts.count == cache.shape[0], length <= limit else {
        throw OperatorError("\(starts.count) places for \(cache.shape[0]) samples")
      }
      let outer = extent(cache.shape[..<axis])
      let inner = extent(cache.shape[(axis + 1)...])
      let perSample = extent(cache.shape[1..<axis])
      var moves: [(from: Int, to: Int)] = []
      for row in 0..<outer {
        let start = starts[row / max(perSample, 1)]
        for step in 0..<length {
          let (place, overflow) = start.addingReportingOverflow(step)
          let target = isCircular && limit > 0 ? ((place % limit) + limit) % limit : place
          guard !overflow, target >= 0, target < limit else {
            throw OperatorError("place \(place) lies outside a cache of \(limit)")
          }
          moves.append((row * length + step, row * limit + target))
        }
      }
      if let strings = cache.strings, let updates = update.strings {
        var result = strings
        for move in moves { for i in 0..<inner { result[move.to * inner + i] = updates[move.from * inner + i] } }
        return Tensor(strings: result, shape: cache.shape)
      }
      if cache.elementType.bitWidth < 8 {
        var result = cache.storedCodes
        let updates = update.storedCodes
        for move in moves { for i in 0..<inner { result[move.to * inner + i] = updates[move.from * inner + i] } }
        return Tensor(codes: result, elementType: cache.elementType, shape: cache.shape)
      }
      let width = inner * cache.elementType.bitWidth / 8
      return Tensor(cache.elementType, shape: cache.shape, pool: context.pool) { target in
        cache.withBytes { target.copyMemory(from: $0) }
        update.withBytes { source in
          for move in moves where width > 0 {
            UnsafeMutableRawBufferPointer(rebasing: target[(move.to * width)..<((move.to + 1) * width)])
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[(move.from * width)..<((move.from + 1) * width)]))
          }
        }
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
}
