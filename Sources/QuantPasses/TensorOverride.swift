import ONNXGraph
import ONNXTensor
import QuantCore

/// What changes in a grid; what is nil stays.
package struct SchemeChange: Sendable, Equatable {
  package var elementType: ElementType?
  package var isSymmetric: Bool?
  package var isReduced: Bool?
  package var isPowerOfTwo: Bool?
  package var smallestRange: Float?

  package init() {}

  package func applied(to scheme: QuantizationScheme) -> QuantizationScheme {
    var result = scheme
    if let elementType { result.elementType = elementType }
    if let isSymmetric { result.isSymmetric = isSymmetric }
    if let isReduced { result.isReduced = isReduced }
    if let isPowerOfTwo { result.isPowerOfTwo = isPowerOfTwo }
    if let smallestRange { result.smallestRange = smallestRange }
    return result
  }
}

/// How what a selector names is quantized, other than by the target: the tensors it names, and the outputs and weights of
/// the nodes.
package struct TensorOverride: Sendable {
  package var selector: Selector
  package var isFloat = false
  package var activations: SchemeChange?
  package var weights: SchemeChange?
  package var isPerChannel: Bool?
  package var blockSize: Int?
  package var method: RangeMethod?
  package var range: ValueRange?

  package init(_ selector: Selector) { self.selector = selector }
}

/// Overrides by what they name; of several that name the same, the last one counts.
struct ResolvedOverrides {
  private(set) var tensors: [Value: TensorOverride] = [:]
  private(set) var nodes: [Node: TensorOverride] = [:]
  private(set) var floatNodes = Set<Node>()
  private(set) var floatTensors = Set<Value>()

  init(_ overrides: [TensorOverride], in graph: Graph) throws {
    for entry in overrides {
      let named = try Selector.resolve([entry.selector], in: graph)
      if entry.isFloat {
        floatNodes.formUnion(named.nodes)
        floatTensors.formUnion(named.tensors)
        continue
      }
      for tensor in named.tensors { tensors[tensor] = entry }
      for node in named.nodes {
        nodes[node] = entry
        for output in node.outputs.compactMap({ $0 }) { tensors[output] = entry }
      }
    }
  }

  func weights(_ value: Value, of node: Node) -> TensorOverride? { tensors[value] ?? nodes[node] }
}
