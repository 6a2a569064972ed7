import ONNXGraph
import ONNXTensor

/// One layer of gated recurrent units. Opsets 1, 3, 7, 14, 22.
///
/// Samples shorter than the sequence leave zeros in Y; their final state is that of their last step.
enum GRU: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try RecurrentAttributes(node, gates: 3, defaults: ["Sigmoid", "Tanh"])
    let isLinear = try node.bool("linear_before_reset", default: false)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let type = try inputs[0].elementType.computeType()
      return try run(type, attributes, inputs, isLinear: isLinear, context)
    }
  }

  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: RecurrentAttributes, _ inputs: TensorInputs, isLinear: Bool,
    _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let x = try inputs[0]
    let shape = try RecurrentShape(
      attributes, x: x, w: try inputs[1], r: try inputs[2], lengths: try inputs.optional(4))
    let (batch, hidden) = (shape.batch, shape.hidden)
    let steps = try shape.steps(x, T.self)
    let w = try inputs[1].reals(T.self)
    let r = try inputs[2].reals(T.self)
    let bias = try shape.parameter(try inputs.optional(3), "B", width: 6 * hidden, T.self)
    var h = try shape.state(try inputs.optional(5), "initial_h", T.self)
    var y = [T](repeating: 0, count: shape.sequence * attributes.directions * batch * hidden)
    var recurrent = [T](repeating: 0, count: batch * 3 * hidden)
    var reset = [T](repeating: 0, count: batch * hidden)
    var update = reset
    var candidate = reset
    for direction in 0..<attributes.directions {
      let f = attributes.activations[direction]
      let projected = try shape.project(steps, w, r: r, direction: direction, context)
      let state = direction * batch * hidden
      let b = direction * 6 * hidden
      let rows = (direction * 3 + 2) * hidden * hidden
      for step in 0..<shape.sequence {
        let times = (0..<batch).map { shape.time(step, sample: $0, reverse: shape.isReverse(direction)) }
        try shape.recur(h, r, direction: direction, into: &recurrent, context)
        for sample in 0..<batch {
          guard let time = times[sample] else { continue }
          for unit in 0..<hidden {
            func gate(_ index: Int) -> T {
              let column = index * hidden + unit
              return projected[(time * batch + sample) * 3 * hidden + column]
                + recurrent[sample * 3 * hidden + column] + bias[b + column] + bias[b + 3 * hidden + column]
            }
            let own = sample * hidden + unit
            update[own] = f[0].apply(shape.clipped(gate(0)))
            let factor = f[0].apply(shape.clipped(gate(1)))
            reset[own] = isLinear ? factor : factor * h[state + own]
          }
        }
        if !isLinear {
          try reset.withUnsafeBufferPointer { reset in
            try r.withUnsafeBufferPointer { r in
              try candidate.withUnsafeMutableBufferPointer {
                try T.multiplyTransposed(
                  m: batch, n: hidden, k: hidden, reset, UnsafeBufferPointer(rebasing: r[rows..<rows + hidden * hidden]),
                  into: $0, context)
              }
            }
          }
        }
        for sample in 0..<batch {
          guard let time = times[sample] else { continue }
          for unit in 0..<hidden {
            let own = sample * hidden + unit
            let column = 2 * hidden + unit
            let input = projected[(time * batch + sample) * 3 * hidden + column] + bias[b + column]
            let inner = bias[b + 3 * hidden + column]
            let hiddenPart =
              isLinear ? reset[own] * (recurrent[sample * 3 * hidden + column] + inner) : candidate[own] + inner
            let proposal = f[1].apply(shape.clipped(input + hiddenPart))
            h[state + own] = (1 - update[own]) * proposal + update[own] * h[state + own]
            y[((time * attributes.directions + direction) * batch + sample) * hidden + unit] = h[state + own]
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
