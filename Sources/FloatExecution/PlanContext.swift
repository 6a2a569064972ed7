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
  /// The functions whose bodies this plan is in, outermost first.
  private let callers: [Function]
  private let expansion: Expansion

  /// Nodes of function bodies prepared so far: each call has its own copy, so calls of calls can multiply without bound.
  private final class Expansion {
    static let limit = 1_000_000
    var nodes = 0
  }

  package convenience init(model: Model, foldsConstants: Bool = true, initializerInputsAreConstant: Bool = true) {
    self.init(
      model: model, opsets: model.opsetImports, foldsConstants: foldsConstants,
      initializerInputsAreConstant: initializerInputsAreConstant, callers: [], expansion: Expansion())
  }

  private init(
    model: Model, opsets: [OpsetImport], foldsConstants: Bool, initializerInputsAreConstant: Bool,
    callers: [Function], expansion: Expansion
  ) {
    self.model = model
    self.foldsConstants = foldsConstants
    self.initializerInputsAreConstant = initializerInputsAreConstant
    self.callers = callers
    self.expansion = expansion
    var versions: [String: Int] = [:]
    for entry in opsets {
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
    if callers.contains(where: { $0 === function }) {
      throw ExecutionError(.failed, "function '\(function.name ?? "")' calls itself", node: node)
    }
    guard callers.count < 32 else {
      throw ExecutionError(.failed, "functions call each other more than 32 deep", node: node)
    }
    let body = function.instantiated(for: node)
    expansion.nodes += body.allGraphs.reduce(1) { $0 + $1.nodes.count }
    guard expansion.nodes <= Expansion.limit else {
      throw ExecutionError(
        .failed, "the calls of functions come to more than \(Expansion.limit) nodes", node: node)
    }
    let context = PlanContext(
      model: model, opsets: function.opsetImports, foldsConstants: foldsConstants,
      initializerInputsAreConstant: true, callers: callers + [function], expansion: expansion)
    let plan = try ExecutionPlan(graph: body, context: context)
    return Kernel { inputs, evaluation in
      let run = PlanRun(plan: plan, threads: evaluation.threads, pool: evaluation.pool)
      return try run.execute(inputs: inputs, parent: nil)
    }
  }
}
