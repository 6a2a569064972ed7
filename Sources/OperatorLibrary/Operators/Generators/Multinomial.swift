import Glibc
import ONNXTensor

/// Classes drawn by unnormalized logarithms of their probabilities, `sample_size` for each row. Opsets 7–22.
package enum Multinomial: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let start = try RandomGenerator(node)
    let type = try node.elementType("dtype") ?? .int32
    let samples = try node.int("sample_size", default: 1)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard x.rank == 2, x.elementType.isFloatingPoint, let logits = x.doubles else {
        throw OperatorError("the input must be a float matrix, it is \(x.elementType.name) of shape \(x.shape)")
      }
      let (rows, classes) = (x.shape[0], x.shape[1])
      guard classes > 0 else { throw OperatorError("there are no classes") }
      try ShapeArithmetic.check([rows, samples], .int64)
      var generator = start
      var result: [Int64] = []
      for row in 0..<rows {
        let odds = logits[row * classes..<(row + 1) * classes]
        let largest = odds.max() ?? 0
        var sum = 0.0
        let cumulative = odds.map { value -> Double in
          sum += exp(value - largest)
          return sum
        }
        for _ in 0..<samples {
          let draw = generator.uniform() * sum
          result.append(Int64(cumulative.firstIndex { draw < $0 } ?? classes - 1))
        }
      }
      return try ElementCast().apply(Tensor(result, shape: [rows, samples]), to: type)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let rows = ShapeInference.input(inputs, 0)?.dimensions?.first ?? .unknown
    let samples = try node.int("sample_size", default: 1)
    return [.tensor(try node.elementType("dtype") ?? .int32, dimensions: [rows, .known(samples)])]
  }
}
