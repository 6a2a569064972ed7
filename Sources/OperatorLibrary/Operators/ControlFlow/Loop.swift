import ONNXGraph
import ONNXTensor

/// A graph run again and again, up to a trip count and while a condition holds. Opsets 1–25.
package enum Loop: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let body = try node.graph("body")
    let carriedCount = max(0, node.node.inputs.count - 2)
    guard body.inputs.count == carriedCount + 2, body.outputs.count >= carriedCount + 1 else {
      throw OperatorError(
        "the body has \(body.inputs.count) inputs and \(body.outputs.count) outputs for \(carriedCount) carried values")
    }
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let limit = try inputs.optional(0)?.integer("the trip count") ?? Int.max
      var proceeds = try inputs.optional(1)?.condition("the condition") ?? true
      var carried = Array(values.dropFirst(2))
      var scans = [ScanOutput](repeating: ScanOutput(), count: body.outputs.count - 1 - carriedCount)
      var iteration = 0
      while iteration < limit && proceeds {
        let results = try context.runGraph(
          body, [.tensor(Tensor(scalar: Int64(iteration))), .tensor(Tensor(scalar: true))] + carried)
        guard results.count == body.outputs.count else { throw OperatorError("the body gave \(results.count) values") }
        guard let condition = results[0].tensor else { throw OperatorError("the body's condition is not a tensor") }
        proceeds = try condition.condition("the body's condition")
        carried = results.dropFirst().prefix(carriedCount).map { $0 }
        for index in scans.indices {
          let place = 1 + carriedCount + index
          try scans[index].append(results[place], body.outputs[place].value.name)
        }
        iteration += 1
      }
      let joined = try scans.enumerated().map { index, scan -> RuntimeValue? in
        let declared = body.outputs[1 + carriedCount + index].info.type
        return .tensor(try scan.joined(axis: 0, declared: declared, context))
      }
      return carried + joined
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let body = try node.graph("body")
    let carriedCount = max(0, inputs.count - 2)
    return node.outputTypes(of: body).dropFirst().enumerated().map { index, type in
      guard let type else { return nil }
      if index < carriedCount {
        // Shapes of carried values may change from iteration to iteration.
        guard type.tensorType != nil else { return InferredValue(type) }
        return .tensor(type.elementType ?? inputs[2 + index]?.elementType, dimensions: nil)
      }
      return .tensor(type.elementType, dimensions: type.tensorType?.shape.map { [.unknown] + $0 })
    }
  }

  package static func bodyInputs(
    _ node: OperatorNode, _ body: Graph, _ inputs: [InferredValue?]
  ) -> [InferredValue?]? {
    [.tensor(.int64, []), .tensor(.bool, [])]
      + inputs.dropFirst(2).map { carried in
        guard let carried, carried.type.tensorType != nil else { return carried }
        return .tensor(carried.elementType, dimensions: nil)
      }
  }
}
