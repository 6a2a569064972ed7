import Glibc
import ONNXGraph
import ONNXTensor

/// Attention by a recurrent state: linear, gated, delta or gated-delta updates. Opset 27. Computed in float32.
enum LinearAttention: Operator {
  struct Attributes {
    let queryHeads: Int
    let keyHeads: Int
    let scale: Float
    let isGated: Bool
    let isDelta: Bool

    init(_ node: OperatorNode) throws {
      guard let q = try node.int("q_num_heads"), let k = try node.int("kv_num_heads"), q >= 1, k >= 1, q % k == 0 else {
        throw OperatorError("attributes 'q_num_heads' and 'kv_num_heads' must be positive, the first a multiple")
      }
      (queryHeads, keyHeads) = (q, k)
      scale = try node.float("scale", default: 0)
      switch try node.string("update_rule", default: "gated_delta") {
      case "linear": (isGated, isDelta) = (false, false)
      case "gated": (isGated, isDelta) = (true, false)
      case "delta": (isGated, isDelta) = (false, true)
      case "gated_delta": (isGated, isDelta) = (true, true)
      case let other: throw OperatorError("attribute 'update_rule' is '\(other)'")
      }
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    return Kernel { values, context in try run(attributes, TensorInputs(values)) }
  }

  private static func run(_ attributes: Attributes, _ inputs: TensorInputs) throws -> [RuntimeValue?] {
    typealias Heads = AttentionCore.Heads<Float>
    let query = try inputs[0]
    _ = try query.elementType.computeType()
    for index in 0..<3 { try inputs[index].require(rank: 3, "input \(index)") }
    let q = try Heads(query, heads: attributes.queryHeads, what: "the query")
    let k = try Heads(try inputs[1], heads: attributes.keyHeads, what: "the key")
    let v = try Heads(try inputs[2], heads: attributes.keyHeads, what: "the value")
    let (batch, heads, length, keySize, valueSize) = (q.batch, k.heads, q.length, q.size, v.size)
    guard k.batch == batch, v.batch == batch, k.length == length, v.length == length, k.size == keySize else {
      throw OperatorError("query \(q.shape), key \(k.shape) and value \(v.shape) do not fit together")
    }
    let decay = try inputs.optional(4)
    let beta = try inputs.optional(5)
    guard (decay != nil) == attributes.isGated, (beta != nil) == attributes.isDelta else {
      throw OperatorError("the update rule and the presence of decay and beta do not fit together")
    }
    let gates = try decay?.reals(Float.self) ?? []
    let rates = try beta?.reals(Float.self) ?? []
    let gateWidth = decay?.shape.last ?? 0
    let rateWidth = beta?.shape.last ?? 0
    if let decay {
      guard decay.rank == 3, decay.shape[0] == batch, decay.shape[1] == length,
        gateWidth == heads || gateWidth == heads * keySize
      else { throw OperatorError("the decay has shape \(decay.shape)") }
    }
    if let beta {
      guard beta.rank == 3, beta.shape[0] == batch, beta.shape[1] == length, rateWidth == heads || rateWidth == 1
      else { throw OperatorError("beta has shape \(beta.shape)") }
    }
    let stateShape = [batch, heads, keySize, valueSize]
    try CheckedSize.check(stateShape, of: .float32)
    let past = try inputs.optional(3)
    try past?.require(shape: stateShape, "past_state")
    var state = try past?.reals(Float.self) ?? Array(repeating: 0, count: extent(stateShape))
    let scale = attributes.scale == 0 ? 1 / Float(max(keySize, 1)).squareRoot() : attributes.scale
    let group = attributes.queryHeads / heads
    try CheckedSize.check([batch, attributes.queryHeads, length, valueSize], of: .float32)
    var y = [Float](repeating: 0, count: batch * attributes.queryHeads * length * valueSize)
    var written = [Float](repeating: 0, count: valueSize)
    for n in 0..<batch {
      for head in 0..<heads {
        let own = (n * heads + head) * keySize * valueSize
        for time in 0..<length {
          let key = k.offset(n, head) + time * keySize
          if attributes.isGated {
            let base = (n * length + time) * gateWidth
            for d in 0..<keySize {
              let factor = expf(gates[base + (gateWidth == heads ? head : head * keySize + d)])
              for m in 0..<valueSize { state[own + d * valueSize + m] *= factor }
            }
          }
          for m in 0..<valueSize { written[m] = v.values[v.offset(n, head) + time * valueSize + m] }
          if attributes.isDelta {
            let rate = rates[(n * length + time) * rateWidth + (rateWidth == 1 ? 0 : head)]
            for m in 0..<valueSize {
              var found: Float = 0
              for d in 0..<keySize { found += state[own + d * valueSize + m] * k.values[key + d] }
              written[m] = rate * (written[m] - found)
            }
          }
          for d in 0..<keySize {
            for m in 0..<valueSize { state[own + d * valueSize + m] += k.values[key + d] * written[m] }
          }
          for reader in head * group..<(head + 1) * group {
            let source = q.offset(n, reader) + time * keySize
            let target = ((n * attributes.queryHeads + reader) * length + time) * valueSize
            for m in 0..<valueSize {
              var sum: Float = 0
              for d in 0..<keySize { sum += q.values[source + d] * state[own + d * valueSize + m] }
              y[target + m] = scale * sum
            }
          }
        }
      }
    }
    let output = try AttentionCore.output(
      y, batch, attributes.queryHeads, length, valueSize, rank: 3, as: query.elementType)
    return [
      .tensor(output),
      .tensor(try Tensor(reals: state, as: past?.elementType ?? query.elementType, shape: stateShape)),
    ]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let attributes = try Attributes(node)
    let type = inputs.elementType(0)
    let stateType = inputs.elementType(3) ?? type
    guard let q = inputs.extents(0), q.count == 3, let v = inputs.extents(2), v.count == 3 else {
      return [InferredValue(type, extents: nil), InferredValue(stateType, extents: inputs.extents(3))]
    }
    let keySize = q[2].known.map { Extent($0 / attributes.queryHeads) } ?? .unknown
    let valueSize = v[2].known.map { Extent($0 / attributes.keyHeads) } ?? .unknown
    let hidden = valueSize.known.map { Extent($0 &* attributes.queryHeads) } ?? .unknown
    return [
      InferredValue(type, extents: [q[0], q[1], hidden]),
      InferredValue(stateType, extents: [q[0], Extent(attributes.keyHeads), keySize, valueSize]),
    ]
  }
}
