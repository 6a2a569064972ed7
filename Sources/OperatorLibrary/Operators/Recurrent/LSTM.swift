import ONNXGraph
import ONNXTensor

/// One layer of long short-term memory. Opsets 1, 7, 14, 22.
///
/// Samples shorter than the sequence leave zeros in Y; their final states are those of their last step.
enum LSTM: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try RecurrentAttributes(node, gates: 4, defaults: ["Sigmoid", "Tanh", "Tanh"])
    let isCoupled = try node.bool("input_forget", default: false)
    let weights = RecurrentWeights(node, directions: attributes.directions)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let type = try inputs[0].elementType.computeType()
      return try run(type, attributes, inputs, weights, isCoupled: isCoupled, context)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: RecurrentAttributes, _ inputs: TensorInputs, _ weights: RecurrentWeights,
    isCoupled: Bool, _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let x = try inputs[0]
    let shape = try RecurrentShape(
      attributes, x: x, w: try inputs[1], r: try inputs[2], lengths: try inputs.optional(4))
    let (batch, hidden) = (shape.batch, shape.hidden)
    let steps = try shape.steps(x, T.self)
    let bias = try shape.parameter(try inputs.optional(3), "B", width: 8 * hidden, T.self)
    let peephole = try inputs.optional(7).map { try shape.parameter($0, "P", width: 3 * hidden, T.self) }
    var h = try shape.state(try inputs.optional(5), "initial_h", T.self)
    var c = try shape.state(try inputs.optional(6), "initial_c", T.self)
    var y = [T](repeating: 0, count: shape.sequence * attributes.directions * batch * hidden)
    let count = batch * hidden
    var recurrent = [T](repeating: 0, count: 4 * count)
    // Input, output, forget and cell gates, each [batch][hidden].
    var gates = [[T]](repeating: [T](repeating: 0, count: count), count: 4)
    for direction in 0..<attributes.directions {
      let f = attributes.activations[direction]
      let (w, r) = try weights.matrices(inputs, shape, direction: direction, T.self)
      let projected = try shape.project(steps, w, bias: bias, direction: direction, context)
      let state = direction * count
      let p = direction * 3 * hidden
      for step in 0..<shape.sequence {
        let times = shape.times(step, direction: direction)
        try r.multiply(m: batch, h[state..<state + count], into: &recurrent, context)
        for gate in 0..<4 {
          shape.sum(&gates[gate], projected, recurrent, gate: gate, times)
        }
        if let peephole {
          for index in 0..<count {
            gates[0][index] += peephole[p + index % hidden] * c[state + index]
            gates[2][index] += peephole[p + 2 * hidden + index % hidden] * c[state + index]
          }
        }
        try shape.activate(&gates[0], f[0], context)
        if isCoupled {
          for index in 0..<count { gates[2][index] = 1 - gates[0][index] }
        } else {
          try shape.activate(&gates[2], f[0], context)
        }
        try shape.activate(&gates[3], f[1], context)
        for index in 0..<count {
          gates[3][index] = gates[2][index] * c[state + index] + gates[0][index] * gates[3][index]
        }
        // gates[3] is now the new cell state.
        if let peephole {
          for index in 0..<count { gates[1][index] += peephole[p + hidden + index % hidden] * gates[3][index] }
        }
        try shape.activate(&gates[1], f[0], context)
        gates[0] = gates[3]
        try shape.activate(&gates[0], f[2], context)
        for sample in 0..<batch {
          guard let time = times[sample] else { continue }
          let target = ((time * attributes.directions + direction) * batch + sample) * hidden
          for unit in 0..<hidden {
            let own = sample * hidden + unit
            c[state + own] = gates[3][own]
            h[state + own] = gates[1][own] * gates[0][own]
            y[target + unit] = h[state + own]
          }
        }
      }
    }
    let type = x.elementType
    return [try shape.output(y, as: type), try shape.state(h, as: type), try shape.state(c, as: type)]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    try RecurrentAttributes(node, gates: 4, defaults: ["Sigmoid", "Tanh", "Tanh"]).infer(inputs, states: 2)
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    RecurrentShape.macs(inputs)
  }
}
