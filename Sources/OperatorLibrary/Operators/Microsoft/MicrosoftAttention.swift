import FloatKernels
import ONNXGraph
import ONNXTensor

/// Multi-head self-attention with its input projection, as ONNX Runtime's transformer optimizer writes it.
///
/// Masks: none, lengths [batch], 0/1 flags [batch, keys] or [batch, queries, keys]. Rotary embedding is not supported.
enum MicrosoftAttention: MicrosoftOperator {
  static var opType: String { "Attention" }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let heads = try node.int("num_heads"), heads >= 1 else {
      throw OperatorError("attribute 'num_heads' must be a positive integer")
    }
    if try node.bool("do_rotary", default: false) { throw OperatorError("attribute 'do_rotary' is not supported") }
    let isCausal = try node.bool("unidirectional", default: false)
    let sizes = try node.ints("qkv_hidden_sizes")
    let scale = try node.float("scale")
    let filter = try node.float("mask_filter_value", default: -10000)
    let cache = node.constant(1) == nil ? nil : PackedWeightCache()
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      let w = try inputs[1]
      try x.require(rank: 3, "the input")
      try w.require(rank: 2, "the weight")
      try w.require(x.elementType, "the weight")
      let widths = sizes.flatMap { $0.isEmpty ? nil : $0 } ?? Array(repeating: w.shape[1] / 3, count: 3)
      guard widths.count == 3, widths[0] == widths[1],
        widths.allSatisfy({ $0 >= 0 && $0 <= w.shape[1] && $0 % heads == 0 }),
        widths.reduce(0, &+) == w.shape[1]
      else { throw OperatorError("projections \(widths) do not fit a weight of \(w.shape) and \(heads) heads") }
      let bias = try inputs.optional(2)
      try bias?.require(shape: [w.shape[1]], "the bias")
      let projected = try MatMul.multiply(x, w, cache, context)
      return try run(
        try x.elementType.computeType(), projected, bias, widths, heads, isCausal: isCausal, scale, filter, inputs,
        context)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ projected: Tensor, _ bias: Tensor?, _ widths: [Int], _ heads: Int, isCausal: Bool,
    _ scale: Float?, _ filter: Float, _ inputs: TensorInputs, _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    typealias Heads = AttentionCore.Heads<T>
    let (batch, length, width) = (projected.shape[0], projected.shape[1], projected.shape[2])
    var values = try projected.reals(T.self)
    if let shift = try bias?.reals(T.self), width > 0 {
      for index in values.indices { values[index] += shift[index % width] }
    }
    func part(_ number: Int) -> Heads {
      let start = widths[..<number].reduce(0, +)
      let size = widths[number] / heads
      var taken: [T] = []
      for n in 0..<batch {
        for head in 0..<heads {
          for position in 0..<length {
            let base = (n * length + position) * width + start + head * size
            taken += values[base..<base + size]
          }
        }
      }
      return Heads(batch: batch, heads: heads, length: length, size: size, values: taken)
    }
    let q = part(0)
    var (k, v) = (part(1), part(2))
    var past = 0
    if let state = try inputs.optional(4) {
      guard state.rank == 5, state.shape[0] == 2 else { throw OperatorError("the past has shape \(state.shape)") }
      let halves = try (0..<2).map { index in
        try Heads(state.rows(index..<index + 1).reshaped(Array(state.shape[1...])), heads: nil, what: "the past")
      }
      past = state.shape[3]
      k = try k.appended(to: halves[0])
      v = try v.appended(to: halves[1])
    }
    let total = k.length
    let factor = scale.map { T($0) } ?? 1 / T(max(q.size, 1)).squareRoot()
    let pairs = (0..<batch).flatMap { n in (0..<heads).map { (n, $0) } }
    var scores = try AttentionCore.products(
      m: length, n: total, k: q.size, q.values, pairs.map { q.offset($0, $1) }, k.values,
      pairs.map { k.offset($0, $1) }, transposed: true, context)
    let hidden = try hiddenKeys(try inputs.optional(3), batch, length, total)
    let added = try inputs.optional(5)
    if let added, try broadcastShape(added.shape, [batch, heads, length, total]) != [batch, heads, length, total] {
      throw OperatorError("an attention bias of shape \(added.shape) does not fit")
    }
    let extra = try added?.reals(T.self)
    let strides = added.map { broadcastStrides($0.shape, to: [batch, heads, length, total]) } ?? [0, 0, 0, 0]
    for (row, pair) in pairs.enumerated() {
      for i in 0..<length {
        for j in 0..<total {
          let index = (row * length + i) * total + j
          var value = scores[index] * factor
          if let extra { value += extra[pair.0 * strides[0] + pair.1 * strides[1] + i * strides[2] + j * strides[3]] }
          if hidden?(pair.0, i, j) == true { value += T(filter) }
          if isCausal && j > i + past { value = -.infinity }
          scores[index] = value
        }
      }
    }
    AttentionCore.softmax(&scores, count: total, rounding: .float32)
    let y = try AttentionCore.products(
      m: length, n: v.size, k: total, scores, pairs.indices.map { $0 * length * total }, v.values,
      pairs.map { v.offset($0, $1) }, transposed: false, context)
    let output = try AttentionCore.output(y, batch, heads, length, v.size, rank: 3, as: projected.elementType)
    guard context.outputCount > 1 else { return [.tensor(output)] }
    guard k.size == v.size else {
      throw OperatorError("keys of \(k.size) and values of \(v.size) have no common cache")
    }
    let present = try Tensor(
      reals: k.values + v.values, as: projected.elementType, shape: [2, batch, heads, total, k.size])
    return [.tensor(output), .tensor(present)]
  }

  /// Whether key j is hidden from query i of sample n.
  private static func hiddenKeys(
    _ mask: Tensor?, _ batch: Int, _ length: Int, _ total: Int
  ) throws -> ((Int, Int, Int) -> Bool)? {
    guard let mask else { return nil }
    guard let flags = mask.integers else { throw OperatorError("the mask is not of integers") }
    switch mask.shape {
    case [batch]: return { n, _, j in j >= flags[n] }
    case [2 * batch]: return { n, _, j in j >= flags[n] || j < flags[batch + n] }
    case [batch, total]: return { n, _, j in flags[n * total + j] == 0 }
    case [batch, length, total]: return { n, i, j in flags[(n * length + i) * total + j] == 0 }
    default: throw OperatorError("a mask of shape \(mask.shape) does not fit \(batch) samples of \(total) keys")
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let x = inputs.extents(0), x.count == 3 else { return [InferredValue(inputs.elementType(0), extents: nil)] }
    let sizes = try node.ints("qkv_hidden_sizes")
    let width = sizes?[safe: 2] ?? inputs.extents(1)?[safe: 1]?.known.map { $0 / 3 }
    return [InferredValue(inputs.elementType(0), extents: [x[0], x[1], width.map { Extent($0) } ?? .unknown])]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard inputs.count > 1, let x = inputs[0], x.count == 3, let w = inputs[1], w.count == 2 else { return 0 }
    return x[0] &* x[1] &* (extent(w) &+ x[1] &* (w[1] / 3) &* 2)
  }
}
