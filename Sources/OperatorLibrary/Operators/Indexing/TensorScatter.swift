import ONNXTensor

/// A cache with an update written along `axis`, for each batch from its own start; mode "circular" wraps. Opset 24.
package enum TensorScatter: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let axis = try node.int("axis", default: -2)
    let mode = try node.string("mode", default: "linear")
    guard mode == "linear" || mode == "circular" else { throw OperatorError("attribute 'mode' is '\(mode)'") }
    return .tensors { inputs, context in
      let (cache, update) = (try inputs[0], try inputs[1])
      let starts = try inputs.optional(2)?.integers("write_indices")
      let axis = try ShapeArithmetic.axis(axis, rank: cache.rank)
      guard axis > 0 else { throw OperatorError("'axis' is the batch axis") }
      var expected = cache.shape
      guard update.rank == cache.rank else { throw OperatorError("update of rank \(update.rank)") }
      expected[axis] = update.shape[axis]
      let (extent, length) = (cache.shape[axis], update.shape[axis])
      guard update.shape == expected, length <= extent else {
        throw OperatorError("update of shape \(update.shape) does not fit \(cache.shape)")
      }
      let batches = cache.shape[0]
      if let starts, starts.count != batches {
        throw OperatorError("\(starts.count) write indices for \(batches) batches")
      }
      let middle = cache.shape[1..<axis].reduce(1, &*)
      let inner = cache.shape[(axis + 1)...].reduce(1, &*)
      var positions: [Int] = []
      for batch in 0..<batches {
        let start = starts?[batch] ?? 0
        guard start >= 0, mode == "circular" ? start < max(extent, 1) : start <= extent - length else {
          throw OperatorError("write index \(start) with \(length) elements is outside of \(extent)")
        }
        for row in 0..<middle {
          for step in 0..<length { positions.append((batch * middle + row) * extent + (start + step) % extent) }
        }
      }
      return try ScatterReduction.none.apply(cache, positions: positions, run: inner, updates: update, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}
