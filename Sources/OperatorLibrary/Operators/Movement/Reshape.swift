import ONNXGraph
import ONNXTensor

/// The same elements under another shape: 0 copies the input's dimension (unless `allowzero`), -1 is what remains.
/// Opsets 1–25; before opset 5 the shape is an attribute.
package enum Reshape: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = node.opset < 5 ? try node.ints("shape") : nil
    let allowsZero = try node.bool("allowzero", default: false)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      let target = try attribute ?? inputs[1].integers("the shape")
      return x.reshaped(try resolve(target, of: x.shape, allowsZero: allowsZero))
    }
  }

  static func resolve(_ target: [Int], of shape: [Int], allowsZero: Bool) throws -> [Int] {
    var result = target
    var open: Int?
    for (index, extent) in target.enumerated() {
      switch extent {
      case -1:
        guard open == nil else { throw OperatorError("the shape \(target) has more than one -1") }
        open = index
        result[index] = 1
      case 0 where !allowsZero:
        guard index < shape.count else {
          throw OperatorError("the shape \(target) copies a dimension that \(shape) lacks")
        }
        result[index] = shape[index]
      case 0...: break
      default: throw OperatorError("the shape \(target) has a negative dimension")
      }
    }
    let count = try ShapeArithmetic.count(shape)
    let known = try ShapeArithmetic.count(result)
    if let open {
      guard !(allowsZero && target.contains(0)), known > 0 ? count % known == 0 : count == 0 else {
        throw OperatorError("a tensor of shape \(shape) cannot be reshaped to \(target)")
      }
      result[open] = known > 0 ? count / known : 0
    } else if known != count {
      throw OperatorError("a tensor of shape \(shape) cannot be reshaped to \(target)")
    }
    return result
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    let attribute = node.opset < 5 ? try node.ints("shape") : nil
    guard let target = attribute ?? ShapeInference.integers(inputs, 1) else {
      // The rank at least is the length of the shape.
      let rank = ShapeInference.input(inputs, 1)?.staticShape?.first
      guard let rank, rank < 64 else { return [.tensor(x?.elementType, dimensions: nil)] }
      return [.tensor(x?.elementType, dimensions: Array(repeating: .unknown, count: rank))]
    }
    let allowsZero = try node.bool("allowzero", default: false)
    if let shape = x?.staticShape {
      return [
        .tensor(x?.elementType, dimensions: try resolve(target, of: shape, allowsZero: allowsZero).map(Dimension.known))
      ]
    }
    return [.tensor(x?.elementType, dimensions: partial(target, of: x?.dimensions, allowsZero: allowsZero))]
  }

  /// What is known of the result when dimensions of the input are not: copied dimensions cancel out of the -1.
  private static func partial(_ target: [Int], of shape: [Dimension]?, allowsZero: Bool) -> [Dimension] {
    var dims: [Dimension] = []
    for (index, extent) in target.enumerated() {
      if extent == 0 && !allowsZero {
        dims.append(shape.flatMap { index < $0.count ? $0[index] : nil } ?? .unknown)
      } else {
        dims.append(extent < 0 ? .unknown : .known(extent))
      }
    }
    if let shape, let open = target.firstIndex(of: -1) {
      var rest = shape
      for (index, extent) in target.enumerated() where extent == 0 && !allowsZero && index < rest.count {
        rest[index] = .known(1)
      }
      let divisor = target.reduce(1) { $1 > 0 ? $0.multipliedReportingOverflow(by: $1).partialValue : $0 }
      if let count = ShapeInference.product(rest).known, divisor > 0, count % divisor == 0 {
        dims[open] = .known(count / divisor)
      }
    }
    return dims
  }

  package static var quantization: QuantizationTraits { .movement }
}
