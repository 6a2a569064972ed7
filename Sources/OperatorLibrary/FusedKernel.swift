import FloatKernels
import ONNXTensor

/// A product with what follows it, computed in one pass: up to two added tensors, then an elementwise function.
///
/// Every rounding is that of the separate nodes, in the same order, so the result has their bits.
package struct FusedKernel {
  /// The product's inputs and the added tensors in order. nil where shapes or types are not those of the kernels, or
  /// make no sense: then the nodes are to be run one by one, which says what is wrong.
  typealias Body = (_ inputs: TensorInputs, _ addends: [Tensor], _ context: EvaluationContext) throws -> Tensor?
  private let body: Body

  /// nil where `node` is no product that takes a tail.
  package init?(_ node: OperatorNode, activation: UnaryFunction?) {
    guard node.node.canonicalDomain.isEmpty else { return nil }
    let activation = activation ?? .identity
    let body: Body?
    switch node.node.opType {
    case "Conv": body = try? Conv.fuse(node, activation: activation)
    case "Gemm": body = try? Gemm.fuse(node, activation: activation)
    case "MatMul": body = try? MatMul.fuse(node, activation: activation)
    default: body = nil
    }
    guard let body else { return nil }
    self.body = body
  }

  package func run(_ inputs: [RuntimeValue?], addends: [RuntimeValue], _ context: EvaluationContext) -> Tensor? {
    let tensors = addends.compactMap(\.tensor)
    guard tensors.count == addends.count, tensors.allSatisfy({ $0.elementType == .float32 }) else { return nil }
    return (try? body(TensorInputs(inputs), tensors, context)) ?? nil
  }

  /// The kernel of a node that applies one function to every element; nil where there is none.
  package static func activation(of node: OperatorNode) -> UnaryFunction? {
    guard node.node.canonicalDomain.isEmpty else { return nil }
    switch OperatorCatalog.find(node.node) {
    case is Relu.Type: return .relu
    case is Clip.Type: return try? Clip.function(node)
    case let type as any RealUnaryOperator.Type: return (try? type.function(node))?.kernel
    default: return nil
    }
  }
}

/// The tensors that a product's epilogue adds.
struct FusedTail {
  var bias: Tensor?
  var residual: Tensor?

  init() {}

  /// `bias` is the product's own. nil where the addends are not a bias or a tensor of the output's shape, in this order.
  init?(bias: Tensor?, _ addends: [Tensor], output: [Int], biasShape: [Int]) {
    self.bias = bias
    for addend in addends {
      let shape = addend.shape
      if shape == output {
        guard residual == nil else { return nil }
        residual = addend
      } else {
        guard self.bias == nil, residual == nil, shape.count <= output.count, shape.count >= biasShape.count,
          Array(shape.suffix(biasShape.count)) == biasShape, shape.dropLast(biasShape.count).allSatisfy({ $0 == 1 })
        else { return nil }
        self.bias = addend
      }
    }
  }
}
