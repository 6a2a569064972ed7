/// An activation function that another operator carries: the recurrent operators' and the fused ones'.
enum Activation {
  case relu
  case tanh
  case sigmoid
  case affine(alpha: Float, beta: Float)
  case leakyRelu(alpha: Float)
  case thresholdedRelu(alpha: Float)
  case scaledTanh(alpha: Float, beta: Float)
  case hardSigmoid(alpha: Float, beta: Float)
  case elu(alpha: Float)
  case softsign
  case softplus
  case clip(low: Float, high: Float)

  /// By ONNX's name (any case) and parameters; nil parameters take the defaults of the operator of that name.
  init(name: String, alpha: Float?, beta: Float?) throws(OperatorError) {
    switch name.lowercased() {
    case "relu": self = .relu
    case "tanh": self = .tanh
    case "sigmoid": self = .sigmoid
    case "affine": self = .affine(alpha: alpha ?? 1, beta: beta ?? 0)
    case "leakyrelu": self = .leakyRelu(alpha: alpha ?? 0.01)
    case "thresholdedrelu": self = .thresholdedRelu(alpha: alpha ?? 1)
    case "scaledtanh": self = .scaledTanh(alpha: alpha ?? 1, beta: beta ?? 1)
    case "hardsigmoid": self = .hardSigmoid(alpha: alpha ?? 0.2, beta: beta ?? 0.5)
    case "elu": self = .elu(alpha: alpha ?? 1)
    case "softsign": self = .softsign
    case "softplus": self = .softplus
    case "clip": self = .clip(low: alpha ?? -.infinity, high: beta ?? .infinity)
    default: throw OperatorError("activation '\(name)' is not one that ONNX defines")
    }
  }

  func apply<T: ComputeReal>(_ x: T) -> T {
    switch self {
    case .relu: x < 0 ? 0 : x
    case .tanh: T.tanh(x)
    case .sigmoid: T.sigmoid(x)
    case .affine(let alpha, let beta): T(alpha) * x + T(beta)
    case .leakyRelu(let alpha): x < 0 ? T(alpha) * x : x
    case .thresholdedRelu(let alpha): x > T(alpha) ? x : 0
    case .scaledTanh(let alpha, let beta): T(alpha) * T.tanh(T(beta) * x)
    case .hardSigmoid(let alpha, let beta): min(max(T(alpha) * x + T(beta), 0), 1)
    case .elu(let alpha): x < 0 ? T(alpha) * (T.exp(x) - 1) : x
    case .softsign: x / (1 + abs(x))
    case .softplus: max(x, 0) + T.log1p(T.exp(-abs(x)))
    case .clip(let low, let high): min(max(x, T(low)), T(high))
    }
  }
}
