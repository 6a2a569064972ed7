import ONNXGraph
import ONNXTensor

/// One of two graphs, chosen by a condition. Opsets 1–25.
package enum If: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let (yes, no) = (try node.graph("then_branch"), try node.graph("else_branch"))
    return Kernel { values, context in
      let condition = try TensorInputs(values)[0].condition("the condition")
      return try context.runGraph(condition ? yes : no, []).map { $0 }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let (yes, no) = (try node.graph("then_branch"), try node.graph("else_branch"))
    if let condition = try inputs.constant(0)?.condition("the condition") {
      return node.outputTypes(of: condition ? yes : no).map { $0.map { InferredValue($0) } }
    }
    return zip(node.outputTypes(of: yes), node.outputTypes(of: no)).map { left, right in
      guard let left, let right else { return nil }
      guard let x = left.tensorType, let y = right.tensorType else { return InferredValue(left) }
      guard let first = x.shape, let second = y.shape, first.count == second.count else {
        return .tensor(left.elementType, dimensions: nil)
      }
      return .tensor(left.elementType, dimensions: zip(first, second).map { $0.common(with: $1) })
    }
  }

  package static func bodyInputs(
    _ node: OperatorNode, _ body: Graph, _ inputs: [InferredValue?]
  ) -> [InferredValue?]? {
    guard let condition = try? inputs.constant(0)?.condition("the condition"),
      let taken = try? node.graph(condition ? "then_branch" : "else_branch")
    else { return [] }
    return taken === body ? [] : nil
  }
}
