import ONNXTensor

/// The matrices W and R of a recurrent operator, kept packed between runs where they are constants.
struct RecurrentWeights {
  private let inputCaches: [PackedWeightCache]?
  private let recurrenceCaches: [PackedWeightCache]?

  init(_ node: OperatorNode, directions: Int) {
    func caches(_ index: Int) -> [PackedWeightCache]? {
      node.constant(index).map { _ in (0..<directions).map { _ in PackedWeightCache() } }
    }
    (inputCaches, recurrenceCaches) = (caches(1), caches(2))
  }

  /// W and R of one direction.
  func matrices<T: ComputeReal>(
    _ inputs: TensorInputs, _ shape: RecurrentShape, direction: Int, _ type: T.Type
  ) throws -> (w: TransposedMatrix<T>, r: TransposedMatrix<T>) {
    let rows = shape.attributes.gates * shape.hidden
    func matrix(_ tensor: Tensor, _ k: Int, _ cache: PackedWeightCache?) throws -> TransposedMatrix<T> {
      let own = tensor.rows(direction..<direction + 1)
      return try TransposedMatrix(try own.reals(T.self)[...], n: rows, k: k, cache: cache)
    }
    return (
      try matrix(try inputs[1], shape.input, inputCaches?[direction]),
      try matrix(try inputs[2], shape.hidden, recurrenceCaches?[direction])
    )
  }
}

extension RecurrentShape {
  /// X W' plus both biases of one direction for all steps: [sequence * batch][gates * hidden].
  func project<T: ComputeReal>(
    _ steps: [T], _ w: TransposedMatrix<T>, bias: [T], direction: Int, _ context: EvaluationContext
  ) throws -> [T] {
    let rows = attributes.gates * hidden
    var result = [T](repeating: 0, count: sequence * batch * rows)
    try w.multiply(m: sequence * batch, steps[...], into: &result, context)
    let own = direction * 2 * rows
    let sums = (0..<rows).map { bias[own + $0] + bias[own + rows + $0] }
    for row in 0..<sequence * batch { for column in 0..<rows { result[row * rows + column] += sums[column] } }
    return result
  }

  /// The time of each sample at `step`, nil where its sequence is over.
  func times(_ step: Int, direction: Int) -> [Int?] {
    (0..<batch).map { time(step, sample: $0, reverse: isReverse(direction)) }
  }

  /// One gate of all samples: what the input and the state give.
  func sum<T: ComputeReal>(_ gate: inout [T], _ projected: [T], _ recurrent: [T], gate number: Int, _ times: [Int?]) {
    let rows = attributes.gates * hidden
    for sample in 0..<batch {
      guard let time = times[sample] else { continue }
      let source = (time * batch + sample) * rows + number * hidden
      let own = sample * rows + number * hidden
      for unit in 0..<hidden { gate[sample * hidden + unit] = projected[source + unit] + recurrent[own + unit] }
    }
  }

  /// Clips, then applies the activation.
  func activate<T: ComputeReal>(_ values: inout [T], _ activation: Activation, _ context: EvaluationContext) throws {
    if attributes.clip != nil { for index in values.indices { values[index] = clipped(values[index]) } }
    try activation.apply(to: &values, context)
  }

  static func macs(_ inputs: [[Int]?]) -> Int {
    guard inputs.count > 2, let x = inputs[0], x.count == 3, let w = inputs[1], let r = inputs[2] else { return 0 }
    return x[0] &* x[1] &* (extent(w) &+ extent(r))
  }
}
