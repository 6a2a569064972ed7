import Glibc

/// What classifiers and regressors of `ai.onnx.ml` do to their scores at the end.
enum PostTransform: String {
  case none = "NONE"
  case softmax = "SOFTMAX"
  case logistic = "LOGISTIC"
  case softmaxZero = "SOFTMAX_ZERO"
  case probit = "PROBIT"

  init(_ node: OperatorNode) throws {
    // TreeEnsemble numbers them.
    if case .int(let code) = node.node.attribute("post_transform") {
      let all: [PostTransform] = [.none, .softmax, .logistic, .softmaxZero, .probit]
      guard let index = Int(exactly: code), all.indices.contains(index) else {
        throw OperatorError("attribute 'post_transform' is \(code)")
      }
      self = all[index]
      return
    }
    let name = try node.string("post_transform", default: "NONE")
    guard let value = PostTransform(rawValue: name) else {
      throw OperatorError("attribute 'post_transform' is '\(name)'")
    }
    self = value
  }

  /// Transforms the scores of one sample.
  func apply(_ scores: [Double]) -> [Double] {
    switch self {
    case .none: return scores
    case .logistic: return scores.map(OperatorLibrary.logistic)
    case .probit: return scores.map(Self.probit)
    case .softmax, .softmaxZero:
      let largest = scores.max() ?? 0
      // Zero scores stay zero in SOFTMAX_ZERO.
      let powers = scores.map { self == .softmaxZero && $0.magnitude <= 1e-7 ? 0 : exp($0 - largest) }
      let sum = powers.reduce(0, +)
      return sum == 0 ? scores.map { _ in 0.5 } : powers.map { $0 / sum }
    }
  }

  /// The one score of a binary classifier as two; `isProbability` where it is the second class's share.
  func applyBinary(_ score: Double, isProbability: Bool) -> [Double] {
    if self == .probit { return [Self.probit(score)] }
    if isProbability { return [1 - score, score] }
    return apply([-score, score])
  }

  /// The inverse of the normal distribution function, by Winitzki's approximation of the inverse error function.
  private static func probit(_ value: Double) -> Double {
    let x = 2 * value - 1
    let rest = (1 - x) * (1 + x)
    guard rest != 0 else { return 0 }
    let logarithm = log(rest)
    let half = 2 / (Double.pi * 0.147) + 0.5 * logarithm
    let root = (-half + (half * half - logarithm / 0.147).squareRoot()).squareRoot()
    return 2.0.squareRoot() * (x < 0 ? -root : root)
  }
}
