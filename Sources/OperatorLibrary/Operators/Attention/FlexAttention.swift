import ONNXGraph
import ONNXTensor

/// Attention whose scores and probabilities pass through graphs of the model's own (domain ai.onnx.preview).
enum FlexAttention: Operator {
  static var domain: String { "ai.onnx.preview" }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let scale = try node.float("scale")
    let scoreGraph = node.node.attribute("score_mod") == nil ? nil : try node.graph("score_mod")
    let probabilityGraph = node.node.attribute("prob_mod") == nil ? nil : try node.graph("prob_mod")
    let precision = try node.int("softmax_precision").map { code in
      guard let type = ElementType(rawValue: Int32(truncatingIfNeeded: code)) else {
        throw OperatorError("attribute 'softmax_precision' is \(code)")
      }
      return type
    }
    return .tensors { inputs, context in
      let q = try inputs[0]
      let type = precision ?? (q.elementType == .float64 ? .float64 : .float32)
      _ = try type.computeType(what: "attribute 'softmax_precision'")
      let isDouble = type == .float64 || q.elementType == .float64
      let arithmetic = try (isDouble ? ElementType.float64 : .float32).computeType()
      return try run(
        arithmetic, inputs, scale, type, scoreGraph, probabilityGraph, context)
    }
  }

  private static func run<T: ComputeReal>(
    _ arithmetic: T.Type, _ inputs: TensorInputs, _ scale: Float?, _ type: ElementType, _ scoreGraph: Graph?,
    _ probabilityGraph: Graph?, _ context: EvaluationContext
  ) throws -> Tensor {
    let query = try inputs[0]
    for index in 0..<3 { try inputs[index].require(rank: 4, "input \(index)") }
    var q = try AttentionCore.Heads<T>(query, heads: nil, what: "Q")
    var k = try AttentionCore.Heads<T>(try inputs[1], heads: nil, what: "K")
    let v = try AttentionCore.Heads<T>(try inputs[2], heads: nil, what: "V")
    guard q.batch == k.batch, k.batch == v.batch, q.size == k.size, k.length == v.length, k.heads == v.heads,
      k.heads > 0, q.heads % k.heads == 0
    else { throw OperatorError("Q \(q.shape), K \(k.shape) and V \(v.shape) do not fit together") }
    let value = scale.map { Float($0) } ?? 1 / Float(max(q.size, 1)).squareRoot()
    guard value >= 0 else { throw OperatorError("attribute 'scale' is \(value)") }
    var factor = [T(value.squareRoot())]
    AttentionCore.round(&factor, to: query.elementType)
    for index in q.values.indices { q.values[index] *= factor[0] }
    for index in k.values.indices { k.values[index] *= factor[0] }
    AttentionCore.round(&q.values, to: query.elementType)
    AttentionCore.round(&k.values, to: query.elementType)
    let group = q.heads / k.heads
    let pairs = (0..<q.batch).flatMap { n in (0..<q.heads).map { (n, $0) } }
    var scores = try AttentionCore.products(
      m: q.length, n: k.length, k: q.size, q.values, pairs.map { q.offset($0, $1) }, k.values,
      pairs.map { k.offset($0, $1 / group) }, transposed: true, context)
    AttentionCore.round(&scores, to: query.elementType)
    AttentionCore.round(&scores, to: type)
    let shape = [q.batch, q.heads, q.length, k.length]
    scores = try modified(scores, by: scoreGraph, shape, type, context)
    AttentionCore.softmax(&scores, count: k.length, rounding: type)
    scores = try modified(scores, by: probabilityGraph, shape, type, context)
    let y = try AttentionCore.products(
      m: q.length, n: v.size, k: k.length, scores, pairs.indices.map { $0 * q.length * k.length }, v.values,
      pairs.map { v.offset($0, $1 / group) }, transposed: false, context)
    return try AttentionCore.output(y, q.batch, q.heads, q.length, v.size, rank: 4, as: query.elementType)
  }

  private static func modified<T: ComputeReal>(
    _ values: [T], by graph: Graph?, _ shape: [Int], _ type: ElementType, _ context: EvaluationContext
  ) throws -> [T] {
    guard let graph else { return values }
    let input = try Tensor(reals: values, as: type, shape: shape)
    let results = try context.runGraph(graph, [.tensor(input)])
    guard results.count == 1, let result = results[0].tensor else {
      throw OperatorError("a modifier graph does not give one tensor")
    }
    try result.require(shape: shape, "the result of a modifier graph")
    return try result.reals(T.self)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let q = inputs.extents(0), q.count == 4, let v = inputs.extents(2), v.count == 4 else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    return [InferredValue(inputs.elementType(0), extents: [q[0], q[1], q[2], v[3]])]
  }
}
