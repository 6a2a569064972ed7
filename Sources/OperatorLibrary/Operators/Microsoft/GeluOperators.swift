import FloatKernels
import ONNXGraph
import ONNXTensor

/// x / 2 (1 + erf(x / sqrt 2)).
enum MicrosoftGelu: MicrosoftOperator {
  static var opType: String { "Gelu" }
  static func prepare(_ node: OperatorNode) throws -> Kernel { GeluForm.kernel(.exact, hasBias: false) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
  static var quantization: QuantizationTraits { .unary }
}

/// `Gelu` of the sum of the input and a bias over the last axis.
enum BiasGelu: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { GeluForm.kernel(.exact, hasBias: true) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
  static var quantization: QuantizationTraits { .unary }
}

/// `Gelu` by its tanh approximation, with an optional bias.
enum FastGelu: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { GeluForm.kernel(.tanh, hasBias: true) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
  static var quantization: QuantizationTraits { .unary }
}

/// x sigmoid(alpha x).
enum QuickGelu: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    GeluForm.kernel(.sigmoid(alpha: try node.float("alpha", default: 1.702)), hasBias: false)
  }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
  static var quantization: QuantizationTraits { .unary }
}

private enum GeluForm {
  case exact
  case tanh
  case sigmoid(alpha: Float)

  var function: UnaryFunction {
    switch self {
    case .exact: .gelu
    case .tanh: .geluTanh
    case .sigmoid(let alpha): .swish(alpha)
    }
  }

  func apply(_ x: Double) -> Double {
    switch self {
    case .exact: x / 2 * (1 + Double.erf(x / 2.0.squareRoot()))
    case .tanh: x / 2 * (1 + Double.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .sigmoid(let alpha): x * Double.sigmoid(Double(alpha) * x)
    }
  }

  static func kernel(_ form: GeluForm, hasBias: Bool) -> Kernel {
    .tensors { inputs, context in
      let x = try inputs[0]
      let bias = hasBias ? try inputs.optional(1) : nil
      if let bias {
        try bias.require(shape: [x.shape.last ?? 1], "the bias")
        try bias.require(x.elementType, "the bias")
      }
      guard x.elementType == .float32 else {
        _ = try x.elementType.computeType()
        let width = max(bias?.count ?? 1, 1)
        let added = try bias?.reals(Double.self)
        let y = try x.reals(Double.self).enumerated().map { form.apply($1 + (added?[$0 % width] ?? 0)) }
        return try Tensor(reals: y, as: x.elementType, shape: x.shape)
      }
      return try context.tensor(of: Float.self, shape: x.shape) { y in
        try x.withElements(Float.self) { x in
          guard let bias else { return try context.backend.apply(form.function, x, into: y) }
          try bias.withElements(Float.self) {
            try context.backend.apply(
              .add, rows: bias.count == 0 ? 0 : x.count / bias.count, columns: bias.count, x, .full, $0, .row, into: y)
          }
          try context.backend.apply(form.function, UnsafeBufferPointer(y), into: y)
        }
      }
    }
  }
}
