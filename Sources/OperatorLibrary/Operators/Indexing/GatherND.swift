import ONNXTensor

/// Slices that rows of indices name, after `batch_dims` common dimensions. Opsets 11–13.
package enum GatherND: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let batchCount = try node.int("batch_dims", default: 0)
    return .tensors { inputs, context in
      let (input, indices) = (try inputs[0], try inputs[1])
      guard batchCount >= 0, indices.rank >= 1, batchCount < indices.rank, batchCount <= input.rank,
        indices.shape[..<batchCount] == input.shape[..<batchCount]
      else {
        throw OperatorError("indices of shape \(indices.shape) do not fit \(input.shape), batch_dims \(batchCount)")
      }
      let places = try SlicePositions(
        Array(input.shape[batchCount...]), indices, leading: batchCount)
      let shape = indices.shape.dropLast() + input.shape[(batchCount + places.depth)...]
      try ShapeArithmetic.check(Array(shape), input.elementType)
      return try DenseElements.apply(input) { x in
        // Rows of one slice each; taking whole rows.
        let rows = places.slice == 0 ? 0 : x.count / places.slice
        return x.reshaped([rows, places.slice]).taking(places.all, axis: 0, as: [places.all.count], pool: context.pool)
          .reshaped(Array(shape))
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let x = ShapeInference.input(inputs, 0)
    let batchCount = try node.int("batch_dims", default: 0)
    guard let dims = x?.dimensions, let places = ShapeInference.input(inputs, 1)?.dimensions,
      let depth = places.last?.known, batchCount >= 0, batchCount < places.count, batchCount <= dims.count,
      depth <= dims.count - batchCount
    else { return [.tensor(x?.elementType, dimensions: nil)] }
    return [.tensor(x?.elementType, dimensions: places.dropLast() + dims[(batchCount + depth)...])]
  }

  package static var quantization: QuantizationTraits { .movement }
}

/// Where the slices lie that the rows of an index tensor name, counted in slices.
struct SlicePositions {
  let all: [Int]
  /// Indices in a row.
  let depth: Int
  /// Elements of a slice.
  let slice: Int

  /// `shape` is the tensor's behind the first `leading` dimensions, which it has in common with the indices.
  init(_ shape: [Int], _ indices: Tensor, leading: Int) throws {
    guard let depth = indices.shape.last, depth <= shape.count else {
      throw OperatorError("rows of indices of shape \(indices.shape) are longer than rank \(shape.count)")
    }
    self.depth = depth
    slice = shape[depth...].reduce(1, &*)
    let strides = ShapeArithmetic.strides(Array(shape[..<depth]))
    let block = shape[..<depth].reduce(1, &*)
    let values = try indices.integers("the indices")
    let rows = indices.shape.dropLast().reduce(1, &*)
    let batches = indices.shape[..<leading].reduce(1, &*)
    let rowsPerBatch = batches == 0 ? 0 : rows / batches
    all = try (0..<rows).map { row in
      var position = rowsPerBatch > 0 ? row / rowsPerBatch * block : 0
      for axis in 0..<depth {
        let index = values[row * depth + axis]
        guard index >= -shape[axis], index < shape[axis] else {
          throw OperatorError("index \(index) is outside of \(shape[axis])")
        }
        position += (index < 0 ? index + shape[axis] : index) * strides[axis]
      }
      return position
    }
  }
}
