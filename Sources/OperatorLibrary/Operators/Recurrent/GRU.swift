import ONNXGraph
import ONNXTensor

/// One layer of gated recurrent units. Opsets 1, 3, 7, 14, 22.
///
/// Samples shorter than the sequence leave zeros in Y; their final state is that of their last step.
enum GRU: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try RecurrentAttributes(node, gates: 3, defaults: ["Sigmoid", "Tanh"])
    let isLinear = try node.bool("linear_before_reset", default: false)
    let weights = RecurrentWeights(node, directions: attributes.directions)
    let caches = node.constant(2).map { _ in (0..<attributes.directions).map { _ in PackedWeightCache() } }
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let type = try inputs[0].elementType.computeType()
      return try run(type, attributes, inputs, weights, caches, isLinear: isLinear, context)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: RecurrentAttributes, _ inputs: TensorInputs, _ weights: RecurrentWeights,
    _ caches: [PackedWeightCache]?, isLinear: Bool, _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let x = try inputs[0]
    let shape = try RecurrentShape(
      attributes, x: x, w: try inputs[1], r: try inputs[2], lengths: try inputs.optional(4))
    let (batch, hidden) = (shape.batch, shape.hidden)
    let steps = try shape.steps(x, T.self)
    let bias = try shape.parameter(try inputs.optional(3), "B", width: 6 * hidden, T.self)
    // The recurrence bias of the candidate belongs inside the reset where that comes after the product.
    var outer = bias
    var inner = [T](repeating: 0, count: attributes.directions * hidden)
    if isLinear {
      for direction in 0..<attributes.directions {
        for unit in 0..<hidden {
          inner[direction * hidden + unit] = bias[(direction * 6 + 5) * hidden + unit]
          outer[(direction * 6 + 5) * hidden + unit] = 0
        }
      }
    }
    var h = try shape.state(try inputs.optional(5), "initial_h", T.self)
    var y = [T](repeating: 0, count: shape.sequence * attributes.directions * batch * hidden)
    let count = batch * hidden
    var recurrent = [T](repeating: 0, count: 3 * count)
    var update = [T](repeating: 0, count: count)
    var reset = update
    var candidate = update
    var product = update
    for direction in 0..<attributes.directions {
      let f = attributes.activations[direction]
      let (w, r) = try weights.matrices(inputs, shape, direction: direction, T.self)
      let projected = try shape.project(steps, w, bias: outer, direction: direction, context)
      let state = direction * count
      let recurrence = try inputs[2].rows(direction..<direction + 1)
      let last = try TransposedMatrix(
        try recurrence.reals(T.self)[(2 * hidden * hidden)...], n: hidden, k: hidden, cache: caches?[direction])
      for step in 0..<shape.sequence {
        let times = shape.times(step, direction: direction)
        try r.multiply(m: batch, h[state..<state + count], into: &recurrent, context)
        shape.sum(&update, projected, recurrent, gate: 0, times)
        shape.sum(&reset, projected, recurrent, gate: 1, times)
        try shape.activate(&update, f[0], context)
        try shape.activate(&reset, f[0], context)
        if isLinear {
          for sample in 0..<batch {
            for unit in 0..<hidden {
              let own = sample * hidden + unit
              product[own] =
                reset[own] * (recurrent[(sample * 3 + 2) * hidden + unit] + inner[direction * hidden + unit])
            }
          }
        } else {
          for index in 0..<count { reset[index] *= h[state + index] }
          try last.multiply(m: batch, reset[...], into: &product, context)
        }
        for sample in 0..<batch {
          guard let time = times[sample] else { continue }
          let source = ((time * batch + sample) * 3 + 2) * hidden
          for unit in 0..<hidden {
            candidate[sample * hidden + unit] = projected[source + unit] + product[sample * hidden + unit]
          }
        }
        try shape.activate(&candidate, f[1], context)
        for sample in 0..<batch {
          guard let time = times[sample] else { continue }
          let target = ((time * attributes.directions + direction) * batch + sample) * hidden
          for unit in 0..<hidden {
            let own = sample * hidden + unit
            h[state + own] = (1 - update[own]) * candidate[own] + update[own] * h[state + own]
            y[target + unit] = h[state + own]
          }
        }
      }
    }
    return [try shape.output(y, as: x.elementType), try shape.state(h, as: x.elementType)]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try RecurrentAttributes(node, gates: 3, defaults: ["Sigmoid", "Tanh"]).infer(inputs, states: 1)
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    RecurrentShape.macs(inputs)
  }
}
