import ONNXGraph
import ONNXTensor

/// Layer normalization of the sum of word, position and segment embeddings.
///
/// Outputs: the embedding, the number of unmasked words of each sample, and the sum before normalization.
enum EmbedLayerNormalization: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    var rows = try RowNormalization(node)
    rows.axis = -1
    rows.epsilon = try node.float("epsilon", default: 1e-12)
    return Kernel { [rows] values, context in
      let inputs = TensorInputs(values)
      let words = try inputs[0]
      try words.require(rank: 2, "input_ids")
      let (batch, length) = (words.shape[0], words.shape[1])
      let table = try inputs[2]
      let positions = try inputs[3]
      let segments = try inputs.optional(4)
      try table.require(rank: 2, "word_embedding")
      let width = table.shape[1]
      for (name, other) in [("position_embedding", positions), ("segment_embedding", segments)] {
        if let other, other.rank != 2 || other.shape[1] != width {
          throw OperatorError("\(name) has shape \(other.shape), expected rows of \(width)")
        }
      }
      let wordIDs = try ids(words, "input_ids", limit: table.shape[0])
      let segmentIDs = try inputs.optional(1).map { try ids($0, "segment_ids", limit: segments?.shape[0] ?? 0) }
      let positionIDs = try inputs.optional(8).map { try ids($0, "position_ids", limit: positions.shape[0]) }
      if positionIDs == nil, length > positions.shape[0] {
        throw OperatorError("\(length) positions, position_embedding has \(positions.shape[0])")
      }
      for (name, list) in [("segment_ids", segmentIDs), ("position_ids", positionIDs)] {
        if let list, list.count != batch * length && (name == "segment_ids" || list.count != length) {
          throw OperatorError("\(name) has \(list.count) elements for \(batch) times \(length) words")
        }
      }
      let shape = [batch, length, width]
      try CheckedSize.check(shape, of: .float64)
      let (wordRows, positionRows) = (try table.reals(Float.self), try positions.reals(Float.self))
      let segmentRows = try segments?.reals(Float.self)
      var sum: [Float] = []
      sum.reserveCapacity(extent(shape))
      for token in 0..<batch * length {
        let position = positionIDs.map { $0[token % $0.count] } ?? token % length
        for column in 0..<width {
          var value = wordRows[wordIDs[token] * width + column] + positionRows[position * width + column]
          if let segmentIDs, let segmentRows { value += segmentRows[segmentIDs[token] * width + column] }
          sum.append(value)
        }
      }
      let embedding = try Tensor(reals: sum, as: table.elementType, shape: shape)
      let normalized = try rows.run(
        [.tensor(embedding), .tensor(try inputs[5]), .tensor(try inputs[6])], context)
      var counts = [Int32](repeating: 0, count: batch)
      if let mask = try inputs.optional(7)?.integers {
        guard mask.count == batch * length else { throw OperatorError("the mask has \(mask.count) elements") }
        for (token, flag) in mask.enumerated() where flag != 0 { counts[token / length] += 1 }
      }
      return [normalized[0], .tensor(Tensor(counts, shape: [batch])), .tensor(embedding)]
    }
  }

  private static func ids(_ tensor: Tensor, _ name: String, limit: Int) throws -> [Int] {
    guard let values = tensor.integers else { throw OperatorError("\(name) are not integers") }
    for value in values where value < 0 || value >= limit {
      throw OperatorError("\(name) holds \(value), the table has \(limit) rows")
    }
    return values
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let words = inputs.extents(0)
    let extents = words.map { $0 + [inputs.extents(2)?[safe: 1] ?? .unknown] }
    let type = inputs.elementType(2)
    return [
      InferredValue(type, extents: extents), InferredValue(.int32, extents: words.map { Array($0.prefix(1)) }),
      InferredValue(type, extents: extents),
    ]
  }
}
