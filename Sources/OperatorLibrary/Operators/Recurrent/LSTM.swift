import ONNXGraph
import ONNXTensor

/// One layer of long short-term memory. Opsets 1, 7, 14, 22.
///
/// Samples shorter than the sequence leave zeros in Y; their final states are those of their last step.
enum LSTM: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try RecurrentAttributes(node, gates: 4, defaults: ["Sigmoid", "Tanh", "Tanh"])
    let isCoupled = try node.bool("input_forget", default: false)
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let type = try inputs[0].elementType.computeType()
      return try run(type, attributes, inputs, isCoupled: isCoupled, context)
    }
  }

  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: RecurrentAttributes, _ inputs: TensorInputs, isCoupled: Bool,
    _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let x = try inputs[0]
    let shape = try RecurrentShape(
      attributes, x: x, w: try inputs[1], r: try inputs[2], lengths: try inputs.optional(4))
    let (batch, hidden) = (shape.batch, shape.hidden)
    let steps = try shape.steps(x, T.self)
    let w = try inputs[1].reals(T.self)
    let r = try inputs[2].reals(T.self)
    let bias = try shape.parameter(try inputs.optional(3), "B", width: 8 * hidden, T.self)
    let peephole = try shape.parameter(try inputs.optional(7), "P", width: 3 * hidden, T.self)
    var h = try shape.state(try inputs.optional(5), "initial_h", T.self)
    var c = try shape.state(try inputs.optional(6), "initial_c", T.self)
    var y = [T](repeating: 0, count: shape.sequence * attributes.directions * batch * hidden)
    var recurrent = [T](repeating: 0, count: batch * 4 * hidden)
    for direction in 0..<attributes.directions {
      let f = attributes.activations[direction]
      let projected = try shape.project(steps, w, r: r, direction: direction, context)
      let state = direction * batch * hidden
      let b = direction * 8 * hidden
      let p = direction * 3 * hidden
      for step in 0..<shape.sequence {
        try shape.recur(h, r, direction: direction, into: &recurrent, context)
        for sample in 0..<batch {
          guard let time = shape.time(step, sample: sample, reverse: shape.isReverse(direction)) else { continue }
          let row = (time * batch + sample) * 4 * hidden
          let own = sample * 4 * hidden
          for unit in 0..<hidden {
            func gate(_ index: Int) -> T {
              let column = index * hidden + unit
              return projected[row + column] + recurrent[own + column] + bias[b + column]
                + bias[b + 4 * hidden + column]
            }
            let cell = state + sample * hidden + unit
            let input = f[0].apply(shape.clipped(gate(0) + peephole[p + unit] * c[cell]))
            let forget =
              isCoupled
              ? 1 - input : f[0].apply(shape.clipped(gate(2) + peephole[p + 2 * hidden + unit] * c[cell]))
            c[cell] = forget * c[cell] + input * f[1].apply(shape.clipped(gate(3)))
            let output = f[0].apply(shape.clipped(gate(1) + peephole[p + hidden + unit] * c[cell]))
            h[cell] = output * f[2].apply(shape.clipped(c[cell]))
            y[((time * attributes.directions + direction) * batch + sample) * hidden + unit] = h[cell]
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

extension RecurrentShape {
  /// X W' of one direction for all steps: [sequence * batch][gates * hidden].
  func project<T: ComputeReal>(
    _ steps: [T], _ w: [T], r: [T], direction: Int, _ context: EvaluationContext
  ) throws -> [T] {
    let rows = attributes.gates * hidden
    var result = [T](repeating: 0, count: sequence * batch * rows)
    try steps.withUnsafeBufferPointer { steps in
      try w.withUnsafeBufferPointer { w in
        try result.withUnsafeMutableBufferPointer {
          let own = UnsafeBufferPointer(rebasing: w[(direction * rows * input)..<((direction + 1) * rows * input)])
          try T.multiplyTransposed(m: sequence * batch, n: rows, k: input, steps, own, into: $0, context)
        }
      }
    }
    return result
  }

  /// H R' of one direction: [batch][gates * hidden]; `h` holds all directions.
  func recur<T: ComputeReal>(
    _ h: [T], _ r: [T], direction: Int, into result: inout [T], _ context: EvaluationContext
  ) throws {
    let rows = attributes.gates * hidden
    try h.withUnsafeBufferPointer { h in
      try r.withUnsafeBufferPointer { r in
        try result.withUnsafeMutableBufferPointer {
          let state = UnsafeBufferPointer(rebasing: h[(direction * batch * hidden)..<((direction + 1) * batch * hidden)])
          let own = UnsafeBufferPointer(rebasing: r[(direction * rows * hidden)..<((direction + 1) * rows * hidden)])
          try T.multiplyTransposed(m: batch, n: rows, k: hidden, state, own, into: $0, context)
        }
      }
    }
  }

  static func macs(_ inputs: [[Int]?]) -> Int {
    guard inputs.count > 2, let x = inputs[0], x.count == 3, let w = inputs[1], let r = inputs[2] else { return 0 }
    return x[0] &* x[1] &* (extent(w) &+ extent(r))
  }
}
