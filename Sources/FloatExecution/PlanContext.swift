import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// What holds for all graphs of a plan: opset versions, model functions, folding.
package final class PlanContext {
  let model: Model
  package let opsets: [String: Int]
  let foldsConstants: Bool
  /// Before IR 4 every initializer is also a graph input; the caller may still override it.
  let initializerInputsAreConstant: Bool
  private let depth: Int

  package init(model: Model, opsets: [OpsetImport]? = nil, foldsConstants: Bool = true, initializerInputsAreConstant: Bool = true, depth: Int = 0)
  {
    self.model = model
    self.foldsConstants = foldsConstants
    self.initializerInputsAreConstant = initializerInputsAreConstant
    self.depth = depth
    var versions: [String: Int] = [:]
    for entry in opsets ?? model.opsetImports {
      let domain = entry.domain ?? ""
      versions[domain == "ai.onnx" ? "" : domain] = Int(entry.version ?? 1)
    }
    self.opsets = versions
  }

  package func prepare(_ node: Node, constants: [Tensor?]) throws -> Kernel {
    if let function = model.function(domain: node.canonicalDomain, name: node.opType, overload: node.overload) {
      return try prepare(function, calledBy: node)
    }
    guard let type = OperatorCatalog.find(node) else {
      let domain = node.canonicalDomain.isEmpty ? "ai.onnx" : node.canonicalDomain
      throw ExecutionError(.unsupported, "operator \(domain).\(node.opType) has no kernel in onnxq", node: node)
    }
    guard let version = opsets[node.canonicalDomain] ?? (node.canonicalDomain.isEmpty ? nil : 1) else {
      throw ExecutionError(.unsupported, "the model imports no opset for ai.onnx", node: node)
    }
    return try type.prepare(OperatorNode(node, opset: version, constants: constants))
  }

  /// A call runs a copy of the body in which references to the caller's attributes are replaced by their values.
  private func prepare(_ function: Function, calledBy node: Node) throws -> Kernel {
    guard depth < 32 else { throw ExecutionError(.failed, "functions call each other more than 32 deep", node: node) }
    let body = function.instantiated(for: node)
    let context = PlanContext(
      model: model, opsets: function.opsetImports, foldsConstants: foldsConstants, depth: depth + 1)
    let plan = try ExecutionPlan(graph: body, context: context)
    return Kernel { inputs, evaluation in
      let run = PlanRun(plan: plan, context: context, threads: evaluation.threads, pool: evaluation.pool)
      return try run.execute(inputs: inputs, parent: nil)
    }
  }
}
