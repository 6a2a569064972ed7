import Glibc
import ONNXTensor

/// The kernel function of a support vector machine and its vectors.
struct SupportVectorKernel {
  enum Kind: String { case linear = "LINEAR", polynomial = "POLY", radial = "RBF", sigmoid = "SIGMOID" }

  let kind: Kind
  let gamma: Double
  let offset: Double
  let degree: Double

  init(_ node: OperatorNode) throws {
    let name = try node.string("kernel_type", default: "LINEAR")
    guard let kind = Kind(rawValue: name) else { throw OperatorError("attribute 'kernel_type' is '\(name)'") }
    self.kind = kind
    let parameters = (try node.floats("kernel_params") ?? []).map(Double.init)
    guard parameters.isEmpty || parameters.count >= 3 else {
      throw OperatorError("'kernel_params' must have 3 entries")
    }
    (gamma, offset, degree) = parameters.isEmpty ? (0, 0, 0) : (parameters[0], parameters[1], parameters[2])
  }

  func callAsFunction(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>) -> Double {
    switch kind {
    case .linear: dot(a, b)
    case .polynomial: pow(gamma * dot(a, b) + offset, degree)
    case .sigmoid: tanh(gamma * dot(a, b) + offset)
    case .radial: exp(-gamma * zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) })
    }
  }
}

/// Support vector regression, or with `one_class` the side of the boundary. `ai.onnx.ml` 1. Computed in float64.
package enum SVMRegressor: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let kernel = try SupportVectorKernel(node)
    let coefficients = (try node.floats("coefficients") ?? []).map(Double.init)
    let vectors = (try node.floats("support_vectors") ?? []).map(Double.init)
    let supports = try node.int("n_supports", default: 0)
    let rho = Double(try node.floats("rho")?.first ?? 0)
    let isOneClass = try node.bool("one_class", default: false)
    let transform = try PostTransform(node)
    return .tensors { inputs, _ in
      let x = try FeatureMatrix(inputs[0])
      let features = x.columns
      let size = try ShapeArithmetic.product(max(supports, 0), features)
      guard supports > 0 ? coefficients.count >= supports && vectors.count == size : coefficients.count == features
      else { throw OperatorError("the support vectors do not fit \(features) features") }
      let scores = (0..<x.rows).map { index -> Float in
        let row = x.row(index)
        var sum = rho
        if supports > 0 {
          for j in 0..<supports { sum += coefficients[j] * kernel(row, vectors[j * features..<(j + 1) * features]) }
        } else {
          sum += dot(row, coefficients[...])
        }
        return Float(isOneClass ? (sum > 0 ? 1 : -1) : transform.apply([sum])[0])
      }
      return Tensor(scores, shape: [x.rows, 1])
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [.rows(of: inputs, .float32, columns: 1)]
  }
}

/// Support vector classification: votes of all pairs of classes, with `prob_a` and `prob_b` coupled probabilities.
/// `ai.onnx.ml` 1. Computed in float64.
package enum SVMClassifier: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let machine = try ClassificationMachine(node)
    return Kernel { values, _ in
      let x = try FeatureMatrix(TensorInputs(values)[0])
      try machine.check(features: x.columns)
      var (classes, scores): ([Int], [Float]) = ([], [])
      var width = 0
      for row in 0..<x.rows {
        let (label, result) = machine.classify(x.row(row))
        classes.append(label)
        width = result.count
        scores += result.map { Float($0) }
      }
      let labels = machine.labels?.tensor(classes) ?? Tensor(classes.map { Int64($0) }, shape: [classes.count])
      return [.tensor(labels), .tensor(Tensor(scores, shape: [x.rows, width]))]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let labels = try ClassLabels(node, integers: "classlabels_ints", strings: "classlabels_strings")
    return [.labels(of: inputs, labels?.elementType ?? .int64), .rows(of: inputs, .float32, columns: nil)]
  }
}

private struct ClassificationMachine {
  let labels: ClassLabels?
  private let kernel: SupportVectorKernel
  private let coefficients: [Double]
  private let vectors: [Double]
  private let vectorsPerClass: [Int]
  private let vectorCount: Int
  private let classCount: Int
  private let rho: [Double]
  private let probabilities: (a: [Double], b: [Double])
  private let transform: PostTransform

  init(_ node: OperatorNode) throws {
    labels = try ClassLabels(node, integers: "classlabels_ints", strings: "classlabels_strings")
    kernel = try SupportVectorKernel(node)
    func list(_ name: String) throws -> [Double] { (try node.floats(name) ?? []).map(Double.init) }
    coefficients = try list("coefficients")
    vectors = try list("support_vectors")
    rho = try list("rho")
    probabilities = (try list("prob_a"), try list("prob_b"))
    vectorsPerClass = try node.ints("vectors_per_class") ?? []
    transform = try PostTransform(node)
    guard vectorsPerClass.allSatisfy({ $0 >= 0 }) else { throw OperatorError("'vectors_per_class' is negative") }
    vectorCount = try ShapeArithmetic.sum(vectorsPerClass)
    classCount = vectorCount > 0 ? vectorsPerClass.count : max(labels?.count ?? 1, 1)
    let pairs = classCount * (classCount - 1) / 2
    let weights = try ShapeArithmetic.product(vectorCount, classCount - 1)
    guard !rho.isEmpty, probabilities.a.count == probabilities.b.count,
      vectorCount == 0
        || (rho.count >= pairs && (probabilities.a.isEmpty || probabilities.a.count >= pairs)
          && coefficients.count == weights)
    else { throw OperatorError("the numbers of coefficients, offsets and classes do not fit") }
  }

  func check(features: Int) throws {
    let size = try ShapeArithmetic.product(vectorCount > 0 ? vectorCount : classCount, features)
    guard (vectorCount > 0 ? vectors.count : coefficients.count) == size else {
      throw OperatorError("the support vectors do not fit \(features) features")
    }
  }

  func classify(_ row: ArraySlice<Double>) -> (label: Int, scores: [Double]) {
    let features = row.count
    guard vectorCount > 0 else {
      let scores = (0..<classCount).map { rho[0] + dot(row, coefficients[$0 * features..<($0 + 1) * features]) }
      return finish(nil, scores, hasProbabilities: false)
    }
    let products = (0..<vectorCount).map { kernel(row, vectors[$0 * features..<($0 + 1) * features]) }
    var starts: [Int] = []
    var start = 0
    for count in vectorsPerClass {
      starts.append(start)
      start += count
    }
    var votes = [Double](repeating: 0, count: classCount)
    var decisions: [Double] = []
    for i in 0..<classCount {
      for j in i + 1..<max(classCount, i + 1) {
        let own = starts[i]..<starts[i] + vectorsPerClass[i]
        let other = starts[j]..<starts[j] + vectorsPerClass[j]
        var sum = rho[decisions.count]
        for k in own { sum += coefficients[(j - 1) * vectorCount + k] * products[k] }
        for k in other { sum += coefficients[i * vectorCount + k] * products[k] }
        decisions.append(sum)
        votes[sum > 0 ? i : j] += 1
      }
    }
    guard !probabilities.a.isEmpty else { return finish(votes, decisions, hasProbabilities: false) }
    return finish(votes, coupled(decisions), hasProbabilities: true)
  }

  private func finish(_ votes: [Double]?, _ scores: [Double], hasProbabilities: Bool) -> (Int, [Double]) {
    let deciding = hasProbabilities ? scores : votes ?? scores
    let best = indexOfLargest(votes ?? scores)
    guard scores.count == 1 else {
      return (hasProbabilities ? indexOfLargest(deciding) : best, transform.apply(scores))
    }
    // A single decision: positive for the first class.
    let isPositive = (coefficients.min() ?? 0) >= 0
    let hasTwo = labels?.count == 2
    let label =
      hasTwo
      ? (votes != nil ? best : isPositive ? (scores[0] >= 0.5 ? 1 : 0) : (scores[0] > 0 ? 1 : 0))
      : scores[0] > 0 ? 0 : -1
    return (label, hasTwo ? transform.applyBinary(scores[0], isProbability: false) : transform.apply(scores))
  }

  /// Class probabilities from those of pairs (Wu, Lin and Weng 2004, second method), by iteration.
  private func coupled(_ decisions: [Double]) -> [Double] {
    let k = classCount
    var r = [Double](repeating: 0, count: k * k)
    var pair = 0
    for i in 0..<k {
      for j in i + 1..<max(k, i + 1) {
        let value = 1 - logistic(decisions[pair] * probabilities.a[pair] + probabilities.b[pair])
        let bounded = min(max(value, 1e-7), 1 - 1e-7)
        r[i * k + j] = bounded
        r[j * k + i] = 1 - bounded
        pair += 1
      }
    }
    var q = [Double](repeating: 0, count: k * k)
    for t in 0..<k {
      for j in 0..<k where j != t {
        q[t * k + t] += r[j * k + t] * r[j * k + t]
        q[t * k + j] = -r[j * k + t] * r[t * k + j]
      }
    }
    var p = [Double](repeating: 1 / Double(k), count: k)
    for _ in 0..<max(100, k) {
      var product = (0..<k).map { t in (0..<k).reduce(0) { $0 + q[t * k + $1] * p[$1] } }
      var total = zip(p, product).reduce(0) { $0 + $1.0 * $1.1 }
      let error = product.reduce(0) { max($0, ($1 - total).magnitude) }
      if error < 0.005 / Double(k) { break }
      for t in 0..<k where q[t * k + t] != 0 {
        let step = (total - product[t]) / q[t * k + t]
        p[t] += step
        total = (total + step * (step * q[t * k + t] + 2 * product[t])) / ((1 + step) * (1 + step))
        for j in 0..<k {
          product[j] = (product[j] + step * q[t * k + j]) / (1 + step)
          p[j] /= 1 + step
        }
      }
    }
    return p
  }
}
