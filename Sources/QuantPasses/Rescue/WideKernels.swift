import ONNXGraph
import ONNXTensor
import QuantCore

extension TargetPreset {
  /// The grid of tensors that 8 bits drown.
  var wideScheme: QuantizationScheme {
    var scheme = activations
    if let wideActivations { scheme.elementType = wideActivations }
    return scheme
  }

  /// A range that is fixed by the step of 8 bits, for the same step divided by 256.
  func widened(_ range: ValueRange) -> ValueRange {
    let step = (Double(range.upper) - Double(range.lower)) / 255
    return ValueRange(range.lower, Float(Double(range.lower) + 65535 * step / 256))
  }
}

/// The nodes that run on wide activations: those of every kernel that reads or writes a tensor that was widened.
///
/// A kernel has one type for all its activations. Its nodes are those between which no tensor is quantized.
struct WideKernels {
  private(set) var nodes = Set<Node>()

  init(_ plan: PlacementPlan, view: QuantizationView, judge: TensorJudge) {
    guard judge.hasWidened else { return }
    let quantized = Set(plan.activationTensors(view))
    var parents: [Node: Node] = [:]
    func root(_ node: Node) -> Node {
      var node = node
      while let parent = parents[node] { node = parent }
      return node
    }
    for node in view.nodes where plan.outcomes[node]?.isQuantized ?? false {
      for value in node.inputs.compactMap({ $0 }) {
        let tensor = view.tensor(value)
        guard !quantized.contains(tensor), let producer = view.producer(tensor),
          plan.outcomes[producer]?.isQuantized ?? false
        else { continue }
        let (a, b) = (root(producer), root(node))
        if a !== b { parents[b] = a }
      }
    }
    var roots = Set<Node>()
    for (edge, _) in plan.edges {
      guard let value = edge.node.input(edge.index), judge.widening(view.tensor(value)) != nil else { continue }
      roots.insert(root(edge.node))
    }
    for (tensor, _) in plan.tensors where judge.widening(tensor) != nil {
      if let producer = view.producer(tensor) { roots.insert(root(producer)) }
    }
    for node in view.nodes where plan.outcomes[node]?.isQuantized ?? false && roots.contains(root(node)) {
      nodes.insert(node)
    }
  }
}
