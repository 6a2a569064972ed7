import ONNXGraph
import ONNXTensor

/// An optional that holds the input, or nothing. Opsets 15–28.
package enum OptionalOperator: Operator {
  package static var opType: String { "Optional" }

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in [.optional(values.first ?? nil)] }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if case .type(let type) = node.node.attribute("type") { return [InferredValue(ValueType(.optional(type)))] }
    guard let input = ShapeInference.input(inputs, 0) else { return [] }
    return [InferredValue(ValueType(.optional(input.type)))]
  }
}

/// What an optional holds; other values as they are. Opsets 15–28.
package enum OptionalGetElement: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in
      switch values.first ?? nil {
      case .optional(let value?): return [value]
      case .optional(nil), nil: throw OperatorError("the optional is empty")
      case let value?: return [value]
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let input = ShapeInference.input(inputs, 0) else { return [] }
    if case .optional(let element) = input.type.kind { return [element.map { InferredValue($0) }] }
    return [input]
  }
}

/// Whether an optional holds something; other values do. Opsets 15–28.
package enum OptionalHasElement: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, _ in
      switch values.first ?? nil {
      case .optional(nil), nil: return [.tensor(Tensor(scalar: false))]
      default: return [.tensor(Tensor(scalar: true))]
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [.tensor(.bool, [])]
  }
}
