import ONNXGraph
import ONNXTensor

/// One operand of one node.
struct Edge: Hashable {
  let node: Node
  let index: Int
}

/// What is to be quantized, before any parameter is known.
struct PlacementPlan {
  /// A constant weight to quantize.
  struct Weight {
    let node: Node
    let index: Int
    /// The channel axis of the stored tensor; nil for one scale.
    let axis: Int?
  }

  /// A weighted operator that becomes an integer one; its weight may be quantized already.
  struct Weighted {
    let node: Node
    /// The activation operand.
    let input: Int
    let weight: Int
    /// The operand that holds the bias, in this node or in the Add behind a MatMul.
    let bias: Edge?
  }

  /// Operands that shall read the dequantized tensor.
  var edges: [(edge: Edge, rule: PlacementRule)] = []
  /// Tensors of which all readers shall read the dequantized one.
  var tensors: [(tensor: Value, rule: PlacementRule)] = []
  var weights: [Weight] = []
  var weighted: [Weighted] = []
  /// Tensors that an operator without zero points reads (`TargetPreset.centered`); those in `signed` must be int8.
  var centered = Set<Value>()
  var signed = Set<Value>()
  /// Constant operands on the activation grid.
  var constants: [Edge] = []
  var groups = TensorGroups()
  /// For every node that is no Q/DQ: quantized or float, and why.
  var outcomes: [Node: (isQuantized: Bool, rule: PlacementRule, reason: String)] = [:]
  /// Tensors that rules wanted quantized and that stay float.
  var floatTensors: [(tensor: Value, rule: PlacementRule, reason: String)] = []

  mutating func leave(_ node: Node, _ rule: PlacementRule, _ reason: String? = nil) {
    outcomes[node] = (false, rule, reason ?? rule.sentence)
  }

  mutating func quantize(_ node: Node, _ rule: PlacementRule, _ reason: String? = nil) {
    outcomes[node] = (true, rule, reason ?? rule.sentence)
  }
}

/// How operators look to placement, independent of where they stand.
struct OperatorForms {
  let view: QuantizationView
  let target: TargetPreset

  /// Weight operand and its channel axis.
  enum WeightForm {
    case constant(index: Int, axis: Int?)
    /// Stored as integers already.
    case existing(index: Int)
    case activation
    case unusable(String)
  }

  func weightForm(_ node: Node) -> WeightForm {
    guard let value = node.input(1) else { return .unusable("it has no weight") }
    let tensor = view.tensor(value)
    guard view.isConstant(tensor) else {
      return view.isDequantized(value) && view.pairs[tensor]?.quantize == nil ? .existing(index: 1) : .activation
    }
    if view.isDequantized(value) { return .existing(index: 1) }
    guard view.constants.elementType(tensor).map(FloatTypes.isReal) ?? false else {
      return .unusable("its weight is no float of 16 or 32 bits")
    }
    guard let shape = view.constants.shape(tensor), shape.allSatisfy({ $0 > 0 }) else {
      return .unusable("its weight is empty")
    }
    guard view.constants.floats(tensor)?.allSatisfy(\.isFinite) ?? false else {
      return .unusable("its weight holds NaN or infinity")
    }
    let isPerChannel = target.isPerChannel && !target.perTensorWeights.contains(node.opType)
    let axis: Int
    switch node.opType {
    case "Conv":
      guard shape.count >= 3 else { return .unusable("its weight has rank \(shape.count)") }
      axis = 0
    case "ConvTranspose":
      guard shape.count >= 3 else { return .unusable("its weight has rank \(shape.count)") }
      // Axis 1 counts the output channels of one group; with several groups channels of different groups would share.
      axis = 1
    case "Gemm":
      guard shape.count == 2 else { return .unusable("its weight has rank \(shape.count)") }
      axis = node.int("transB") ?? 0 != 0 ? 0 : 1
    default:
      guard shape.count >= 2 else { return .unusable("its weight is a vector") }
      if shape.count > 2 { return .constant(index: 1, axis: nil) }
      axis = 1
    }
    return .constant(index: 1, axis: isPerChannel ? axis : nil)
  }

  /// The Add of a constant behind a MatMul, as far as it is a bias: one number per column, or one for all.
  func matMulBias(_ node: Node) -> Edge? {
    guard node.opType == "MatMul", let output = node.output(0), view.pairs[output] == nil || !target.fusesMatMulBias,
      !view.outputs.contains(output), let use = view.uses[output], use.count == 1, let add = use.first?.node,
      add.isStandard("Add"), add.inputs.count == 2, let weight = node.input(1),
      let columns = view.constantShape(view.tensor(weight))?.last, let other = add.input(1 - use[0].index)
    else { return nil }
    // An int32 vector behind DQ is what insertion makes of a bias.
    let stored = view.isDequantized(other) ? other.producer?.input(0) ?? other : other
    guard view.constants.isConstant(stored), let shape = view.constants.shape(stored), shape.count <= 3,
      shape.dropLast().allSatisfy({ $0 == 1 }), shape.last ?? 1 == columns || shape.last ?? 1 == 1,
      let type = view.constants.elementType(stored), stored === other ? FloatTypes.isReal(type) : type == .int32
    else { return nil }
    return Edge(node: add, index: 1 - use[0].index)
  }

  /// Why an operator that moves elements cannot share one scale; nil where it can.
  func movementObstacle(_ node: Node) -> String? {
    switch node.opType {
    case "MaxPool": return node.output(1).map { !$0.uses.isEmpty } ?? false ? "its indices are read" : nil
    case "Resize":
      let mode = node.string("mode") ?? "nearest"
      return mode == "nearest" || mode == "linear" ? nil : "mode \(mode) leaves the range of its input"
    case "Pad":
      if let mode = node.string("mode"), mode != "constant" { return nil }
      guard let value = node.input(2) else { return nil }
      return view.constants.floats(view.tensor(value))?.allSatisfy { $0 == 0 } ?? false
        ? nil : "it pads with another value than 0"
    default: return nil
    }
  }

  /// The bounds of an activation that a Q can absorb; nil where they are not constants.
  func absorbedBounds(_ node: Node) -> (lower: Float, upper: Float)? {
    if node.opType == "Relu" { return (0, .infinity) }
    var bounds = (lower: -Float.infinity, upper: Float.infinity)
    if let low = node.input(1) {
      guard let value = view.constants.floats(view.tensor(low)), value.count == 1 else { return nil }
      bounds.lower = value[0]
    }
    if let high = node.input(2) {
      guard let value = view.constants.floats(view.tensor(high)), value.count == 1 else { return nil }
      bounds.upper = value[0]
    }
    return bounds
  }
}
