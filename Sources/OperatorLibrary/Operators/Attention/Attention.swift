import FloatKernels
import ONNXGraph
import ONNXTensor

/// Scaled dot-product attention with masks, caches, grouped heads, soft capping and sliding windows.
///
/// Opsets 23, 24 (`nonpad_kv_seqlen`), 25 (windows). Narrow types are rounded after each step, as the reference does.
enum Attention: Operator {
  struct Attributes {
    let isCausal: Bool
    let queryHeads: Int?
    let keyHeads: Int?
    let scale: Float?
    let softcap: Float
    let mode: Int
    let precision: ElementType?
    let left: Int
    let right: Int

    init(_ node: OperatorNode) throws {
      isCausal = try node.bool("is_causal", default: false)
      queryHeads = try node.int("q_num_heads")
      keyHeads = try node.int("kv_num_heads")
      scale = try node.float("scale")
      softcap = try node.float("softcap", default: 0)
      mode = try node.int("qk_matmul_output_mode", default: 0)
      guard (0...3).contains(mode) else { throw OperatorError("attribute 'qk_matmul_output_mode' is \(mode)") }
      if let code = try node.int("softmax_precision") {
        guard let type = ElementType(rawValue: Int32(truncatingIfNeeded: code)) else {
          throw OperatorError("attribute 'softmax_precision' is \(code)")
        }
        _ = try type.computeType(what: "attribute 'softmax_precision'")
        precision = type
      } else {
        precision = nil
      }
      left = try node.int("left_window_size", default: -1)
      right = try node.int("right_window_size", default: -1)
      guard left >= -1, right >= -1 else { throw OperatorError("windows of \(left) and \(right)") }
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let q = try inputs[0]
      try inputs[1].require(q.elementType, "K")
      let isDouble = q.elementType == .float64 || attributes.precision == .float64
      _ = try q.elementType.computeType()
      let type = try (isDouble ? ElementType.float64 : .float32).computeType()
      return try run(type, attributes, inputs, context)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: Attributes, _ inputs: TensorInputs, _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    typealias Heads = AttentionCore.Heads<T>
    let query = try inputs[0]
    let narrow = query.elementType
    let valueType = try inputs[2].elementType
    var q = try Heads(query, heads: attributes.queryHeads, what: "Q")
    var k = try Heads(try inputs[1], heads: attributes.keyHeads, what: "K")
    var v = try Heads(try inputs[2], heads: attributes.keyHeads, what: "V")
    let pastKey = try inputs.optional(4)
    let pastValue = try inputs.optional(5)
    guard (pastKey == nil) == (pastValue == nil) else { throw OperatorError("past_key and past_value go together") }
    var pastLength = 0
    if let pastKey, let pastValue {
      try pastKey.require(rank: 4, "past_key")
      try pastValue.require(rank: 4, "past_value")
      pastLength = pastKey.shape[2]
      k = try k.appended(to: try Heads(pastKey, heads: nil, what: "past_key"))
      v = try v.appended(to: try Heads(pastValue, heads: nil, what: "past_value"))
    }
    guard q.batch == k.batch, k.batch == v.batch, q.size == k.size, k.length == v.length, k.heads == v.heads,
      k.heads > 0, q.heads % k.heads == 0
    else { throw OperatorError("Q \(q.shape), K \(k.shape) and V \(v.shape) do not fit together") }
    let (present, presentValue) = (k, v)
    let total = k.length
    let padding = try inputs.optional(6)?.integers
    if let padding,
      padding.count != q.batch || pastKey != nil || padding.contains(where: { $0 < 0 || $0 > total })
    {
      throw OperatorError("nonpad_kv_seqlen needs one length for each sample, and no past")
    }
    // The reference scales both operands by the root of the scale.
    let scale = attributes.scale.map { Double($0) } ?? 1 / Double(max(q.size, 1)).squareRoot()
    guard scale >= 0 else { throw OperatorError("attribute 'scale' is \(scale)") }
    var factor = [T(scale.squareRoot())]
    AttentionCore.round(&factor, to: narrow)
    for index in q.values.indices { q.values[index] *= factor[0] }
    for index in k.values.indices { k.values[index] *= factor[0] }
    AttentionCore.round(&q.values, to: narrow)
    AttentionCore.round(&k.values, to: narrow)
    let group = q.heads / k.heads
    let pairs = (0..<q.batch).flatMap { n in (0..<q.heads).map { (n, $0) } }
    var scores = try AttentionCore.products(
      m: q.length, n: total, k: q.size, q.values, pairs.map { q.offset($0, $1) }, k.values,
      pairs.map { k.offset($0, $1 / group) }, transposed: true, context)
    AttentionCore.round(&scores, to: narrow)
    var tapped: [T]? = attributes.mode == 0 && context.outputCount > 3 ? scores : nil
    if attributes.softcap > 0 {
      let cap = T(attributes.softcap)
      for index in scores.indices { scores[index] /= cap }
      AttentionCore.round(&scores, to: narrow)
      for index in scores.indices { scores[index] = T.tanh(scores[index]) }
      AttentionCore.round(&scores, to: narrow)
      for index in scores.indices { scores[index] *= cap }
      AttentionCore.round(&scores, to: narrow)
    }
    if attributes.mode == 1 { tapped = scores }
    let mask = try inputs.optional(3)
    let bias = try Bias<T>(
      attributes, mask, narrow, [q.batch, q.heads, q.length, total], pastLength: pastLength, padding: padding)
    var isMasked = [Bool](repeating: false, count: scores.count / max(total, 1))
    bias.add(to: &scores, &isMasked)
    AttentionCore.round(&scores, to: narrow)
    if attributes.mode == 2 { tapped = scores }
    let precision = attributes.precision ?? narrow
    AttentionCore.round(&scores, to: precision)
    AttentionCore.softmax(&scores, count: total, rounding: precision)
    for (row, isMasked) in isMasked.enumerated() where isMasked {
      for index in row * total..<(row + 1) * total { scores[index] = 0 }
    }
    AttentionCore.round(&scores, to: narrow)
    if attributes.mode == 3 { tapped = scores }
    let y = try AttentionCore.products(
      m: q.length, n: v.size, k: total, scores, pairs.indices.map { $0 * q.length * total }, v.values,
      pairs.map { v.offset($0, $1 / group) }, transposed: false, context)
    var results: [RuntimeValue?] = [
      .tensor(
        try AttentionCore.output(y, q.batch, q.heads, q.length, v.size, rank: query.rank, as: narrow))
    ]
    if context.outputCount > 1 {
      results.append(.tensor(try Tensor(reals: present.values, as: narrow, shape: present.shape)))
      results.append(.tensor(try Tensor(reals: presentValue.values, as: valueType, shape: presentValue.shape)))
    }
    if context.outputCount > 3, let tapped {
      results.append(.tensor(try Tensor(reals: tapped, as: narrow, shape: [q.batch, q.heads, q.length, total])))
    }
    return results
  }

  /// What is added to the scores: mask, causality, window and padding together.
  private struct Bias<T: ComputeReal> {
    let attributes: Attributes
    let shape: [Int]
    let mask: [T]?
    let maskLength: Int
    let maskStrides: [Int]
    /// The position of the first query among the keys, for each sample.
    let offsets: [Int]
    let padding: [Int]?

    init(
      _ attributes: Attributes, _ mask: Tensor?, _ type: ElementType, _ shape: [Int], pastLength: Int, padding: [Int]?
    ) throws {
      self.attributes = attributes
      self.shape = shape
      self.padding = padding
      offsets = (0..<shape[0]).map { n in padding.map { $0[n] &- shape[2] } ?? pastLength }
      guard let mask else {
        (self.mask, maskLength, maskStrides) = (nil, 0, [0, 0, 0])
        return
      }
      guard let length = mask.shape.last, length <= shape[3], mask.rank <= 4,
        try broadcastShape(Array(mask.shape.dropLast()), Array(shape.dropLast())) == Array(shape.dropLast())
      else { throw OperatorError("a mask of shape \(mask.shape) does not fit scores of shape \(shape)") }
      maskLength = length
      let strides = rowMajorStrides(mask.shape)
      maskStrides = (0..<3).map { axis in
        let own = axis - (4 - mask.rank)
        return own < 0 || mask.shape[own] == 1 ? 0 : strides[own]
      }
      if mask.elementType == .bool {
        self.mask = mask.array(UInt8.self).map { $0 != 0 ? 0 : -.infinity }
      } else {
        self.mask = try mask.reals(T.self)
      }
    }

    func add(to scores: inout [T], _ isMasked: inout [Bool]) {
      let (queries, keys) = (shape[2], shape[3])
      let isBounded = attributes.isCausal || attributes.left >= 0 || attributes.right >= 0 || padding != nil
      guard keys > 0, mask != nil || isBounded else { return }
      for n in 0..<shape[0] {
        for head in 0..<shape[1] {
          for i in 0..<queries {
            let row = (n * shape[1] + head) * queries + i
            let position = i + offsets[n]
            let maskBase = n * maskStrides[0] + head * maskStrides[1] + i * maskStrides[2]
            var isEmpty = keys > 0
            for j in 0..<keys {
              var value: T = 0
              if let mask { value = j < maskLength ? mask[maskBase + j] : -.infinity }
              let isHidden =
                (attributes.isCausal && j > position) || (attributes.left >= 0 && position - j > attributes.left)
                || (attributes.right >= 0 && j - position > attributes.right) || (padding.map { j >= $0[n] } ?? false)
              if isHidden { value = -.infinity }
              if value != -.infinity { isEmpty = false }
              scores[row * keys + j] += value
            }
            isMasked[row] = isEmpty
          }
        }
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let attributes = try Attributes(node)
    let type = inputs.elementType(0)
    let valueType = inputs.elementType(2)
    guard let q = inputs.extents(0), let k = inputs.extents(1), let v = inputs.extents(2), q.count == k.count,
      k.count == v.count, q.count == 3 || q.count == 4
    else { return [InferredValue(type, extents: nil)] }
    func divided(_ extent: Extent, _ heads: Int?) -> Extent {
      guard let size = extent.known, let heads, heads > 0 else { return .unknown }
      return Extent(size / heads)
    }
    let is3D = q.count == 3
    let queryHeads = is3D ? attributes.queryHeads.map { Extent($0) } ?? .unknown : q[1]
    let keyHeads = is3D ? attributes.keyHeads.map { Extent($0) } ?? .unknown : k[1]
    let length = is3D ? q[1] : q[2]
    let keySize = is3D ? divided(k[2], attributes.keyHeads) : k[3]
    let valueSize = is3D ? divided(v[2], attributes.keyHeads) : v[3]
    var total = is3D ? k[1] : k[2]
    if inputs.count > 4, inputs[4] != nil {
      let past = inputs.extents(4)?[safe: 2]?.known
      total = past.flatMap { past in total.known.map { Extent(past &+ $0) } } ?? .unknown
    }
    var y = [q[0], queryHeads, length, valueSize]
    if is3D {
      let hidden = valueSize.known.flatMap { size in queryHeads.known.map { Extent(size &* $0) } } ?? .unknown
      y = [q[0], length, hidden]
    }
    return [
      InferredValue(type, extents: y), InferredValue(type, extents: [q[0], keyHeads, total, keySize]),
      InferredValue(valueType, extents: [q[0], keyHeads, total, valueSize]),
      InferredValue(type, extents: [q[0], queryHeads, length, total]),
    ]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard inputs.count > 2, let q = inputs[0], let k = inputs[1], let v = inputs[2], q.count == k.count,
      q.count == v.count, q.count >= 3, v[v.count - 1] > 0
    else { return 0 }
    let length = k[k.count - 2]
    // Scores and result: every query feature and every output feature meets every key position.
    let heads = q.count == 4 ? q[1] : 1
    return extent(q) &* length &+ q[0] &* heads &* q[q.count - 2] &* v[v.count - 1] &* length
  }
}
