import ONNXTensor

/// The votes of decision trees added up (or averaged, or their extremes). `ai.onnx.ml` 5. Summed in float64.
package enum TreeEnsemble: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let model = try TreeModel(ensemble: node)
    let aggregate = try TreeAggregate(node)
    let transform = try PostTransform(node)
    guard let targets = try node.int("n_targets"), targets > 0 else { throw OperatorError("'n_targets' is missing") }
    return .tensors { inputs, _ in
      let tensor = try inputs[0]
      guard tensor.elementType.isFloatingPoint else { throw unsupported(tensor.elementType) }
      let x = try FeatureMatrix(tensor)
      try model.require(features: x.columns, targets: targets)
      try ShapeArithmetic.check([x.rows, targets], .float64)
      let scores = (0..<x.rows).flatMap { transform.apply(aggregate.scores(model, x.row($0), targets: targets)) }
      return try Tensor(scores, shape: [x.rows, targets], castTo: tensor.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let type = ShapeInference.input(inputs, 0)?.elementType else { return [] }
    return [.rows(of: inputs, type, columns: try node.int("n_targets"))]
  }
}

/// As TreeEnsemble, in its first form. `ai.onnx.ml` 1–5.
package enum TreeEnsembleRegressor: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let model = try TreeModel(node, votesNamed: "target_")
    let aggregate = try TreeAggregate(node)
    let transform = try PostTransform(node)
    let targets = try node.int("n_targets", default: 1)
    guard targets > 0 else { throw OperatorError("'n_targets' is \(targets)") }
    let base = try baseValues(node)
    guard base.isEmpty || base.count == targets else {
      throw OperatorError("\(base.count) base values for \(targets) targets")
    }
    return .tensors { inputs, _ in
      let x = try FeatureMatrix(inputs[0])
      try model.require(features: x.columns, targets: targets)
      try ShapeArithmetic.check([x.rows, targets], .float64)
      let scores = (0..<x.rows).flatMap { row -> [Float] in
        var scores = aggregate.scores(model, x.row(row), targets: targets)
        if !base.isEmpty { scores = zip(scores, base).map { $0 + $1 } }
        return transform.apply(scores).map { Float($0) }
      }
      return Tensor(scores, shape: [x.rows, targets])
    }
  }

  static func baseValues(_ node: OperatorNode) throws -> [Double] {
    if let tensor = try node.tensor("base_values_as_tensor") { return tensor.doubles ?? [] }
    return (try node.floats("base_values") ?? []).map(Double.init)
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [.rows(of: inputs, .float32, columns: try node.int("n_targets", default: 1))]
  }
}

/// The class with most votes of decision trees, and the votes. `ai.onnx.ml` 1–5.
///
/// Two classes whose votes all go to one are decided by the sign, or, where no vote is negative, by one half.
package enum TreeEnsembleClassifier: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let model = try TreeModel(node, votesNamed: "class_")
    let transform = try PostTransform(node)
    guard let labels = try labels(node) else { throw OperatorError("there are no class labels") }
    let base = try TreeEnsembleRegressor.baseValues(node)
    let votes = model.votes.joined()
    let isBinary = labels.count == 2 && Set(votes.map(\.target)).count == 1
    let isPositive = votes.allSatisfy { $0.weight >= 0 }
    guard base.isEmpty || base.count == labels.count || (isBinary && base.count == 1) else {
      throw OperatorError("\(base.count) base values for \(labels.count) classes")
    }
    return Kernel { values, _ in
      let x = try FeatureMatrix(TensorInputs(values)[0])
      try model.require(features: x.columns, targets: labels.count)
      var (classes, scores): ([Int], [Float]) = ([], [])
      var width = labels.count
      for row in 0..<x.rows {
        var raw = [Double](repeating: 0, count: labels.count)
        model.votes(x.row(row)) { raw[$0.target] += $0.weight }
        let result: [Double]
        if isBinary {
          let score = raw[0] + raw[1] + (base.last ?? 0)
          classes.append(isPositive ? (score > 0.5 ? 1 : 0) : score > 0 ? 1 : 0)
          result = transform.applyBinary(score, isProbability: isPositive)
        } else {
          if !base.isEmpty { raw = zip(raw, base).map { $0 + $1 } }
          classes.append(indexOfLargest(raw))
          result = transform.apply(raw)
        }
        width = result.count
        scores += result.map { Float($0) }
      }
      return [.tensor(labels.tensor(classes)), .tensor(Tensor(scores, shape: [x.rows, width]))]
    }
  }

  private static func labels(_ node: OperatorNode) throws -> ClassLabels? {
    try ClassLabels(node, integers: "classlabels_int64s", strings: "classlabels_strings")
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let labels = try labels(node)
    return [
      .labels(of: inputs, labels?.elementType ?? .int64), .rows(of: inputs, .float32, columns: labels?.count),
    ]
  }
}
