import ONNXGraph
import ONNXTensor

/// One simple recurrent layer: h = f(W x + R h + b). Opsets 1, 7, 14, 22.
enum RNN: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try RecurrentAttributes(node, gates: 1, defaults: ["Tanh"])
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      return try run(try inputs[0].elementType.computeType(), attributes, inputs, context)
    }
  }

  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: RecurrentAttributes, _ inputs: TensorInputs, _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let x = try inputs[0]
    let shape = try RecurrentShape(
      attributes, x: x, w: try inputs[1], r: try inputs[2], lengths: try inputs.optional(4))
    let (batch, hidden) = (shape.batch, shape.hidden)
    let steps = try shape.steps(x, T.self)
    let w = try inputs[1].reals(T.self)
    let r = try inputs[2].reals(T.self)
    let bias = try shape.parameter(try inputs.optional(3), "B", width: 2 * hidden, T.self)
    var h = try shape.state(try inputs.optional(5), "initial_h", T.self)
    var y = [T](repeating: 0, count: shape.sequence * attributes.directions * batch * hidden)
    var recurrent = [T](repeating: 0, count: batch * hidden)
    for direction in 0..<attributes.directions {
      let f = attributes.activations[direction][0]
      let projected = try shape.project(steps, w, r: r, direction: direction, context)
      let b = direction * 2 * hidden
      for step in 0..<shape.sequence {
        try shape.recur(h, r, direction: direction, into: &recurrent, context)
        for sample in 0..<batch {
          guard let time = shape.time(step, sample: sample, reverse: shape.isReverse(direction)) else { continue }
          for unit in 0..<hidden {
            let sum =
              projected[(time * batch + sample) * hidden + unit] + recurrent[sample * hidden + unit] + bias[b + unit]
              + bias[b + hidden + unit]
            let value = f.apply(shape.clipped(sum))
            h[(direction * batch + sample) * hidden + unit] = value
            y[((time * attributes.directions + direction) * batch + sample) * hidden + unit] = value
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
