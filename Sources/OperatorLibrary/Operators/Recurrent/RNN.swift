import ONNXGraph
import ONNXTensor

/// One simple recurrent layer: h = f(W x + R h + b). Opsets 1, 7, 14, 22.
enum RNN: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try RecurrentAttributes(node, gates: 1, defaults: ["Tanh"])
    let weights = RecurrentWeights(node, directions: attributes.directions)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      return try run(try inputs[0].elementType.computeType(), attributes, inputs, weights, context)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: RecurrentAttributes, _ inputs: TensorInputs, _ weights: RecurrentWeights,
    _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let x = try inputs[0]
    let shape = try RecurrentShape(
      attributes, x: x, w: try inputs[1], r: try inputs[2], lengths: try inputs.optional(4))
    let (batch, hidden) = (shape.batch, shape.hidden)
    let steps = try shape.steps(x, T.self)
    let bias = try shape.parameter(try inputs.optional(3), "B", width: 2 * hidden, T.self)
    var h = try shape.state(try inputs.optional(5), "initial_h", T.self)
    var y = [T](repeating: 0, count: shape.sequence * attributes.directions * batch * hidden)
    let count = batch * hidden
    var recurrent = [T](repeating: 0, count: count)
    var next = recurrent
    for direction in 0..<attributes.directions {
      let (w, r) = try weights.matrices(inputs, shape, direction: direction, T.self)
      let projected = try shape.project(steps, w, bias: bias, direction: direction, context)
      let state = direction * count
      for step in 0..<shape.sequence {
        let times = shape.times(step, direction: direction)
        try r.multiply(m: batch, h[state..<state + count], into: &recurrent, context)
        shape.sum(&next, projected, recurrent, gate: 0, times)
        try shape.activate(&next, attributes.activations[direction][0], context)
        for sample in 0..<batch {
          guard let time = times[sample] else { continue }
          let target = ((time * attributes.directions + direction) * batch + sample) * hidden
          for unit in 0..<hidden {
            h[state + sample * hidden + unit] = next[sample * hidden + unit]
            y[target + unit] = next[sample * hidden + unit]
          }
        }
      }
    }
    return [try shape.output(y, as: x.elementType), try shape.state(h, as: x.elementType)]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try RecurrentAttributes(node, gates: 1, defaults: ["Tanh"]).infer(inputs, states: 1)
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    RecurrentShape.macs(inputs)
  }
}
