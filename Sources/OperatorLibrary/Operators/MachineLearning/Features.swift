import ONNXGraph
import ONNXTensor

/// (x - offset) * scale, one value for all features or one each. `ai.onnx.ml` 1.
package enum Scaler: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let offsets = try node.floats("offset") ?? [0]
    let scales = try node.floats("scale") ?? [1]
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard let values = x.floats else { throw unsupported(x.elementType) }
      let columns = max(x.shape.last ?? 1, 1)
      guard [1, columns].contains(offsets.count), [1, columns].contains(scales.count) else {
        throw OperatorError("\(offsets.count) offsets and \(scales.count) scales for \(columns) features")
      }
      let scaled = values.enumerated().map { index, value in
        (value - offsets[offsets.count == 1 ? 0 : index % columns]) * scales[scales.count == 1 ? 0 : index % columns]
      }
      return Tensor(scaled, shape: x.shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: .float32)
  }
}

/// 1 above the threshold, else 0. `ai.onnx.ml` 1.
package enum Binarizer: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let threshold = Double(try node.float("threshold", default: 0))
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard let values = x.doubles else { throw unsupported(x.elementType) }
      return try Tensor(values.map { $0 > threshold ? 1 : 0 }, shape: x.shape, castTo: x.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}

/// Elements equal to one value (NaN included) replaced, by one value for all features or one each. `ai.onnx.ml` 1.
package enum Imputer: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let floats = try node.floats("imputed_value_floats") ?? []
    let integers = try node.ints("imputed_value_int64s") ?? []
    let isReal = !floats.isEmpty
    guard isReal != !integers.isEmpty else { throw OperatorError("one of the lists of imputed values must be given") }
    let replaced =
      isReal
      ? Double(try node.float("replaced_value_float", default: 0))
      : Double(try node.int("replaced_value_int64", default: 0))
    let imputed = isReal ? floats.map(Double.init) : integers.map(Double.init)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard let values = x.doubles else { throw unsupported(x.elementType) }
      let columns = max(x.shape.last ?? 1, 1)
      guard [1, columns].contains(imputed.count) else {
        throw OperatorError("\(imputed.count) imputed values for \(columns) features")
      }
      let result = values.enumerated().map { index, value in
        value == replaced || (value.isNaN && replaced.isNaN)
          ? imputed[imputed.count == 1 ? 0 : index % columns] : value
      }
      return try Tensor(result, shape: x.shape, castTo: x.elementType)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }
}

/// Rows divided by their largest magnitude, sum of magnitudes or length; rows of zeros stay. `ai.onnx.ml` 1.
package enum Normalizer: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let norm = try node.string("norm", default: "MAX")
    guard ["MAX", "L1", "L2"].contains(norm) else { throw OperatorError("attribute 'norm' is '\(norm)'") }
    return .tensors { inputs, _ in
      let x = try inputs[0]
      let matrix = try FeatureMatrix(x)
      let result = (0..<matrix.rows).flatMap { index -> [Float] in
        let row = matrix.row(index)
        let divisor =
          switch norm {
          case "MAX": row.reduce(0) { max($0, $1.magnitude) }
          case "L1": row.reduce(0) { $0 + $1.magnitude }
          default: dot(row, row).squareRoot()
          }
        return row.map { Float(divisor == 0 ? $0 : $0 / divisor) }
      }
      return Tensor(result, shape: x.shape)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs, as: .float32)
  }
}

/// The columns of the last axis that the indices name. `ai.onnx.ml` 1. A vector gives a matrix of one row.
package enum ArrayFeatureExtractor: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let (x, indices) = (try inputs[0], try inputs[1])
      guard let columns = x.shape.last else { throw OperatorError("the input is a scalar") }
      let positions = try Indices.resolve(indices, extent: columns)
      let matrix = x.rank == 1 ? x.reshaped([1, columns]) : x
      return try DenseElements.apply(matrix) {
        $0.taking(positions, axis: matrix.rank - 1, as: [positions.count], pool: context.pool)
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let x = ShapeInference.input(inputs, 0)
    guard let dims = x?.dimensions, !dims.isEmpty else { return [.tensor(x?.elementType, dimensions: nil)] }
    let count = ShapeInference.input(inputs, 1)?.dimensions.map { ShapeInference.product($0) } ?? .unknown
    return [.tensor(x?.elementType, dimensions: (dims.count == 1 ? [.known(1)] : dims.dropLast()) + [count])]
  }
}

/// Each element as ones and zeros over the categories. `ai.onnx.ml` 1.
package enum OneHotEncoder: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let words = try node.strings("cats_strings") ?? []
    let numbers = try node.ints("cats_int64s") ?? []
    let count = words.isEmpty ? numbers.count : words.count
    let zeros = try node.bool("zeros", default: true)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      let places: [Int?]
      if let strings = x.strings {
        let index = Dictionary(zip(words, words.indices)) { first, _ in first }
        places = strings.map { index[$0] }
      } else {
        guard let values = x.doubles else { throw unsupported(x.elementType) }
        let index = Dictionary(zip(numbers, numbers.indices)) { first, _ in first }
        places = values.map { index[ElementCast.integer($0)] }
      }
      if !zeros, places.contains(where: { $0 == nil }) { throw OperatorError("an element is in no category") }
      try ShapeArithmetic.check(x.shape + [count], .float32)
      return Tensor(of: Float.self, shape: x.shape + [count]) { out in
        out.update(repeating: 0)
        for (row, place) in places.enumerated() { if let place { out[row * count + place] = 1 } }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let words = try node.strings("cats_strings")?.count ?? 0
    let count = try words == 0 ? node.ints("cats_int64s")?.count ?? 0 : words
    return [.tensor(.float32, dimensions: ShapeInference.input(inputs, 0)?.dimensions.map { $0 + [.known(count)] })]
  }
}

/// Columns of all inputs side by side as float, each input cut or filled up to its declared width. `ai.onnx.ml` 1.
package enum FeatureVectorizer: MachineLearningOperator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let widths = try node.ints("inputdimensions")
    return .tensors { inputs, context in
      let parts = try (0..<inputs.count).map { index -> Tensor in
        let matrix = try FeatureMatrix(inputs[index])
        let width = widths.flatMap { index < $0.count ? $0[index] : nil } ?? matrix.columns
        try ShapeArithmetic.check([matrix.rows, width], .float32)
        let values = (0..<matrix.rows).flatMap { row in
          (0..<width).map { $0 < matrix.columns ? Float(matrix.values[row * matrix.columns + $0]) : 0 }
        }
        return Tensor(values, shape: [matrix.rows, width])
      }
      return try Concat.concatenate(parts, axis: 1, context)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let widths = try node.ints("inputdimensions") ?? []
    return [.rows(of: inputs, .float32, columns: widths.count == inputs.count ? widths.reduce(0, &+) : nil)]
  }
}
