import ONNXGraph
import ONNXTensor

/// Removes dimensions of 1: those of `axes`, or all. Opsets 1–25; `axes` is an input from opset 13 on.
package enum Squeeze: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = node.opset < 13 ? try node.ints("axes") : nil
    return .tensors { inputs, _ in
      let x = try inputs[0]
      let axes = try attribute ?? (node.opset < 13 ? nil : inputs.optional(1)?.integers("axes"))
      guard let axes else { return x.reshaped(x.shape.filter { $0 != 1 }) }
      let removed = try ShapeArithmetic.axes(axes, rank: x.rank)
      for axis in removed where x.shape[axis] != 1 {
        throw OperatorError("dimension \(axis) of shape \(x.shape) is not 1")
      }
      return x.reshaped(x.shape.indices.filter { !removed.contains($0) }.map { x.shape[$0] })
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard let dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    let isGiven = node.opset < 13 ? node.node.attribute("axes") != nil : node.hasInput(1)
    guard isGiven else {
      guard dims.allSatisfy({ $0.known != nil }) else { return [.tensor(x?.elementType, dimensions: nil)] }
      return [.tensor(x?.elementType, dimensions: dims.filter { $0.known != 1 })]
    }
    guard let axes = try node.opset < 13 ? node.ints("axes") : ShapeInference.integers(inputs, 1) else {
      return [.tensor(x?.elementType, dimensions: nil)]
    }
    let removed = try ShapeArithmetic.axes(axes, rank: dims.count)
    return [
      .tensor(x?.elementType, dimensions: dims.indices.filter { !removed.contains($0) }.map { dims[$0] })
    ]
  }

  package static var quantization: QuantizationTraits { .movement }
}

/// Inserts dimensions of 1 at `axes` of the result. Opsets 1–25; `axes` is an input from opset 13 on.
package enum Unsqueeze: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = node.opset < 13 ? try node.ints("axes") : nil
    if node.opset < 13 && attribute == nil { throw OperatorError("attribute 'axes' is missing") }
    return .tensors { inputs, _ in
      let x = try inputs[0]
      return x.reshaped(try insert(1, at: attribute ?? inputs[1].integers("axes"), in: x.shape))
    }
  }

  private static func insert<D>(_ one: D, at axes: [Int], in shape: [D]) throws -> [D] {
    let rank = shape.count + axes.count
    let places = Set(try ShapeArithmetic.axes(axes, rank: rank))
    var rest = shape[...]
    return (0..<rank).map { places.contains($0) ? one : rest.removeFirst() }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    let axes = node.opset < 13 ? try node.ints("axes") : ShapeInference.integers(inputs, 1)
    guard let dims = x?.dimensions, let axes else { return [.tensor(x?.elementType, dimensions: nil)] }
    return [.tensor(x?.elementType, dimensions: try insert(Dimension.known(1), at: axes, in: dims))]
  }

  package static var quantization: QuantizationTraits { .movement }
}
