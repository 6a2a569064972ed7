import ONNXGraph
import ONNXTensor

/// Rotates pairs of features by angles that depend on the position. Opset 23.
enum RotaryEmbedding: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isInterleaved = try node.bool("interleaved", default: false)
    let rotated = try node.int("rotary_embedding_dim", default: 0)
    let heads = try node.int("num_heads")
    guard rotated >= 0, rotated % 2 == 0 else { throw OperatorError("attribute 'rotary_embedding_dim' is \(rotated)") }
    return .tensors { inputs, context in
      let x = try inputs[0]
      return try run(
        try x.elementType.computeType(), x, cosines: try inputs[1], sines: try inputs[2],
        positions: try inputs.optional(3), isInterleaved: isInterleaved, rotated: rotated, heads: heads)
    }
  }

  @_specialize(where T == Float)
  static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, cosines: Tensor, sines: Tensor, positions: Tensor?, isInterleaved: Bool, rotated: Int,
    heads: Int?
  ) throws -> Tensor {
    guard x.rank == 3 || x.rank == 4 else { throw OperatorError("input 0 has rank \(x.rank), expected 3 or 4") }
    let batch = x.shape[0]
    let length = x.rank == 4 ? x.shape[2] : x.shape[1]
    let count = x.rank == 4 ? x.shape[1] : heads ?? 0
    guard count > 0 || x.count == 0, x.rank == 4 || count > 0 && x.shape[2] % count == 0 else {
      throw OperatorError("input of shape \(x.shape) does not split into \(count) heads")
    }
    let size = x.rank == 4 ? x.shape[3] : x.shape[2] / count
    let width = rotated == 0 ? size : rotated
    guard width <= size, width % 2 == 0 else { throw OperatorError("\(width) of \(size) features cannot be rotated") }
    let half = width / 2
    let rows = try rowNumbers(positions, cosines, batch, length)
    for table in [cosines, sines] {
      guard table.shape == cosines.shape, table.shape.last == half, table.rank == (positions == nil ? 3 : 2) else {
        throw OperatorError("a table of shape \(table.shape) does not hold \(half) angles a position")
      }
    }
    let cos = try cosines.reals(T.self)
    let sin = try sines.reals(T.self)
    var y = try x.reals(T.self)
    var narrow: [T] = [0, 0]
    for n in 0..<batch {
      for head in 0..<count {
        for position in 0..<length {
          let base =
            x.rank == 4
            ? ((n * count + head) * length + position) * size : ((n * length + position) * count + head) * size
          let row = rows[n * length + position] * half
          for pair in 0..<half {
            let first = base + (isInterleaved ? 2 * pair : pair)
            let second = isInterleaved ? first + 1 : first + half
            let products = [
              cos[row + pair] * y[first], sin[row + pair] * y[second], sin[row + pair] * y[first],
              cos[row + pair] * y[second],
            ]
            (narrow[0], narrow[1]) = (products[0] - products[1], products[2] + products[3])
            (y[first], y[second]) = (narrow[0], narrow[1])
          }
        }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  /// The table row of each position of each sample.
  private static func rowNumbers(_ positions: Tensor?, _ table: Tensor, _ batch: Int, _ length: Int) throws -> [Int] {
    guard let positions else {
      guard table.rank == 3, table.shape[0] == batch, table.shape[1] == length else {
        throw OperatorError("a table of shape \(table.shape) does not fit \(batch) samples of \(length) positions")
      }
      return Array(0..<batch * length)
    }
    guard let numbers = positions.integers, positions.shape == [batch, length] else {
      throw OperatorError("position_ids have shape \(positions.shape), expected \([batch, length])")
    }
    let rows = table.shape.first ?? 0
    for number in numbers where number < 0 || number >= rows {
      throw OperatorError("position \(number) lies outside a table of \(rows) rows")
    }
    return numbers
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
}
