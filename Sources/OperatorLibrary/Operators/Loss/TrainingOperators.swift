import Glibc
import ONNXGraph
import ONNXTensor

/// One step of gradient descent with rates that shrink where gradients were large (domain ai.onnx.preview.training).
enum Adagrad: Operator {
  static var domain: String { "ai.onnx.preview.training" }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let decay = Double(try node.float("decay_factor", default: 0))
    let epsilon = Double(try node.float("epsilon", default: 1e-6))
    let norm = Double(try node.float("norm_coefficient", default: 0))
    return Kernel { values, context in
      try TrainingStep.run(TensorInputs(values), states: 1) { rate, count, x, g, states in
        let gradient = norm * x + g
        let sum = states[0] + gradient * gradient
        let step = rate / (1 + count * decay)
        return (x - step * gradient / (sum.squareRoot() + epsilon), [sum])
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    TrainingStep.infer(inputs, states: 1)
  }
}

/// One step of gradient descent by running means of gradients and their squares.
enum Adam: Operator {
  static var domain: String { "ai.onnx.preview.training" }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let alpha = Double(try node.float("alpha", default: 0.9))
    let beta = Double(try node.float("beta", default: 0.999))
    let epsilon = Double(try node.float("epsilon", default: 1e-6))
    let norm = Double(try node.float("norm_coefficient", default: 0))
    let normAfter = Double(try node.float("norm_coefficient_post", default: 0))
    return Kernel { values, context in
      try TrainingStep.run(TensorInputs(values), states: 2) { rate, count, x, g, states in
        let gradient = norm * x + g
        let mean = alpha * states[0] + (1 - alpha) * gradient
        let square = beta * states[1] + (1 - beta) * gradient * gradient
        let step = count > 0 ? rate * (1 - pow(beta, count)).squareRoot() / (1 - pow(alpha, count)) : rate
        return ((1 - normAfter) * (x - step * mean / (square.squareRoot() + epsilon)), [mean, square])
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    TrainingStep.infer(inputs, states: 2)
  }
}

/// One step of gradient descent with momentum, standard or Nesterov's.
enum Momentum: Operator {
  static var domain: String { "ai.onnx.preview.training" }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let alpha = Double(try node.float("alpha", default: 0))
    let beta = Double(try node.float("beta", default: 0))
    let norm = Double(try node.float("norm_coefficient", default: 0))
    let isNesterov: Bool
    switch try node.string("mode", default: "standard") {
    case "standard": isNesterov = false
    case "nesterov": isNesterov = true
    case let other: throw OperatorError("attribute 'mode' is '\(other)'")
    }
    return Kernel { values, context in
      try TrainingStep.run(TensorInputs(values), states: 1) { rate, count, x, g, states in
        let gradient = norm * x + g
        let velocity = alpha * states[0] + (count > 0 ? beta : 1) * gradient
        return (x - rate * (isNesterov ? gradient + alpha * velocity : velocity), [velocity])
      }
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    TrainingStep.infer(inputs, states: 1)
  }
}

/// Inputs: rate, step count, then all parameters, all gradients and all of each state; outputs: parameters, states.
private enum TrainingStep {
  typealias Update = (_ rate: Double, _ count: Double, _ x: Double, _ g: Double, _ states: [Double]) -> (
    Double, [Double]
  )

  static func run(_ inputs: TensorInputs, states: Int, _ update: Update) throws -> [RuntimeValue?] {
    let kinds = 2 + states
    guard inputs.count >= 2, (inputs.count - 2) % kinds == 0 else {
      throw OperatorError("\(inputs.count) inputs, expected 2 and \(kinds) for each parameter")
    }
    let rate = try inputs[0].scalarReal("the rate", as: Double.self)
    let count = Double(try inputs[1].scalarInteger("the step count"))
    let parameters = (inputs.count - 2) / kinds
    var outputs = [RuntimeValue?](repeating: nil, count: parameters * (1 + states))
    for number in 0..<parameters {
      let tensors = try (0..<kinds).map { try inputs[2 + $0 * parameters + number] }
      for tensor in tensors { try tensor.require(shape: tensors[0].shape, "a gradient or state") }
      _ = try tensors[0].elementType.computeType(what: "a parameter")
      let values = try tensors.map { try $0.reals(Double.self) }
      var results = [[Double]](repeating: [], count: 1 + states)
      for index in 0..<tensors[0].count {
        let (x, new) = update(
          rate, count, values[0][index], values[1][index], (0..<states).map { values[2 + $0][index] })
        results[0].append(x)
        for state in 0..<states { results[1 + state].append(new[state]) }
      }
      for kind in 0...states {
        let type = tensors[kind == 0 ? 0 : 1 + kind].elementType
        outputs[kind * parameters + number] = .tensor(
          try Tensor(reals: results[kind], as: type, shape: tensors[0].shape))
      }
    }
    return outputs
  }

  static func infer(_ inputs: [InferredValue?], states: Int) -> [InferredValue?] {
    let parameters = max(inputs.count - 2, 0) / (2 + states)
    return (0..<parameters).map { inputs.like(2 + $0) }
      + (0..<states * parameters).map { inputs.like(2 + 2 * parameters + $0) }
  }
}
