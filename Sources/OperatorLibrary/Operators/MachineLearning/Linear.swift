import ONNXTensor

/// Class scores as products with coefficients; the largest wins. `ai.onnx.ml` 1. Summed in float64.
package enum LinearClassifier: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let labels = try ClassLabels(node, integers: "classlabels_ints", strings: "classlabels_strings")
    let model = try LinearModel(node, targets: nil)
    let transform = try PostTransform(node)
    return Kernel { values, _ in
      let x = try FeatureMatrix(TensorInputs(values)[0])
      var (classes, scores): ([Int], [Float]) = ([], [])
      var width = 0
      for row in 0..<x.rows {
        let raw = try model.scores(x.row(row))
        var result: [Double]
        if raw.count == 1, labels?.count == 2 {
          result = transform.apply([-raw[0], raw[0]])
        } else {
          result = transform.apply(raw)
        }
        if result.count > 1 {
          classes.append(indexOfLargest(result))
        } else {
          classes.append(result[0] >= (transform == .none ? 0 : 0.5) ? 0 : -1)
        }
        width = result.count
        scores += result.map { Float($0) }
      }
      let tensor = labels?.tensor(classes) ?? Tensor(classes.map { Int64($0) }, shape: [classes.count])
      return [.tensor(tensor), .tensor(Tensor(scores, shape: [x.rows, width]))]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let labels = try ClassLabels(node, integers: "classlabels_ints", strings: "classlabels_strings")
    return [
      .labels(of: inputs, labels?.elementType ?? .int64), .rows(of: inputs, .float32, columns: labels?.count),
    ]
  }
}

/// Linear regression. `ai.onnx.ml` 1. Summed in float64.
package enum LinearRegressor: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let targets = try node.int("targets", default: 1)
    let model = try LinearModel(node, targets: targets)
    let transform = try PostTransform(node)
    return .tensors { inputs, _ in
      let x = try FeatureMatrix(inputs[0])
      let scores = try (0..<x.rows).flatMap { transform.apply(try model.scores(x.row($0))).map { Float($0) } }
      return Tensor(scores, shape: [x.rows, targets])
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [.rows(of: inputs, .float32, columns: try node.int("targets", default: 1))]
  }
}

private struct LinearModel {
  private let coefficients: [Double]
  private let intercepts: [Double]
  private let targets: Int?

  init(_ node: OperatorNode, targets: Int?) throws {
    coefficients = (try node.floats("coefficients") ?? []).map(Double.init)
    intercepts = (try node.floats("intercepts") ?? []).map(Double.init)
    self.targets = targets
    if let targets, targets < 1 || coefficients.count % targets != 0 {
      throw OperatorError("\(coefficients.count) coefficients for \(targets) targets")
    }
  }

  func scores(_ row: ArraySlice<Double>) throws -> [Double] {
    let count = targets ?? (row.isEmpty ? 0 : coefficients.count / row.count)
    let size = try ShapeArithmetic.product(count, row.count)
    guard count > 0, coefficients.count == size, intercepts.isEmpty || intercepts.count == count else {
      throw OperatorError(
        "\(coefficients.count) coefficients and \(intercepts.count) intercepts for \(row.count) features")
    }
    return (0..<count).map { target in
      dot(row, coefficients[target * row.count..<(target + 1) * row.count])
        + (intercepts.isEmpty ? 0 : intercepts[target])
    }
  }
}
