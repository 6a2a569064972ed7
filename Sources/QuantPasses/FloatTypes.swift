import ONNXGraph
import ONNXTensor
import QuantCore

/// The element types of a model's tensors, as far as they are declared or follow from constants, Cast and Q/DQ.
///
/// Files need not say the types of what is inside a graph; the operators that quantization is about give their first
/// float operand's type to their output.
struct FloatTypes {
  private var types: [Value: ElementType] = [:]

  init(_ model: Model) {
    for (graph, outer, _) in model.graph.enclosedGraphs() {
      let constants = Constants(graph: graph, outer: outer)
      for port in graph.inputs { types[port.value] = port.info.type?.elementType ?? port.value.type?.elementType }
      for node in graph.topologicalOrder() ?? graph.nodes {
        for input in node.inputs.compactMap({ $0 }) where types[input] == nil {
          types[input] = constants.elementType(input) ?? input.type?.elementType
        }
        let inferred = result(node, constants)
        for output in node.outputs.compactMap({ $0 }) { types[output] = output.type?.elementType ?? inferred }
      }
    }
  }

  /// nil where nothing is known.
  subscript(value: Value) -> ElementType? { types[value] ?? value.type?.elementType }

  private func result(_ node: Node, _ constants: Constants) -> ElementType? {
    guard node.isStandard else { return nil }
    func type(_ index: Int) -> ElementType? { node.input(index).flatMap { self[$0] } }
    switch node.opType {
    case "Constant": return node.output(0).flatMap(constants.elementType)
    case "Cast": return node.int("to").flatMap { ElementType(rawValue: Int32(clamping: $0)) }
    case "CastLike": return type(1)
    case "DequantizeLinear":
      return node.int("output_dtype").flatMap { $0 == 0 ? nil : ElementType(rawValue: Int32(clamping: $0)) } ?? type(1)
    case "QuantizeLinear": return type(2) ?? .uint8
    case "ConstantOfShape":
      if case .tensor(let literal) = node.attribute("value") { return literal.elementType }
      return .float32
    case "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "If", "Loop", "Scan", "SequenceAt", "RandomNormal",
      "RandomUniform", "EyeLike":
      return nil
    default: return node.inputs.compactMap { $0.flatMap { self[$0] } }.first { Self.isReal($0) }
    }
  }

  /// Types that QuantizeLinear reads and DequantizeLinear writes.
  static func isReal(_ type: ElementType) -> Bool { type == .float32 || isHalf(type) }

  static func isHalf(_ type: ElementType) -> Bool { type == .float16 || type == .bfloat16 }
}

extension Tensor {
  /// The elements as float32; nil for types that are no floats of 16 or 32 bits.
  var single: Tensor? {
    guard FloatTypes.isReal(elementType) else { return nil }
    return elementType == .float32 ? self : floats.map { Tensor($0, shape: shape) }
  }

  /// A float32 tensor rounded to another float type.
  func rounded(to type: ElementType) -> Tensor {
    switch type {
    case .float16: Tensor(array(Float.self).map { Float16($0) }, shape: shape)
    case .bfloat16: Tensor(array(Float.self).map { BFloat16($0) }, shape: shape)
    default: self
    }
  }
}

extension QuantizationParameters {
  /// The grid with scales that `type` can hold, rounded up so that the range stays covered.
  func rounded(to type: ElementType?) -> Self {
    guard let type, FloatTypes.isHalf(type) else { return self }
    var result = self
    result.scales = scales.map { scale in
      if type == .float16 {
        let nearest = Float16(min(scale, Float(Float16.greatestFiniteMagnitude)))
        return Float(max(Float(nearest) < scale ? nearest.nextUp : nearest, Float16.leastNonzeroMagnitude))
      }
      let nearest = BFloat16(scale)
      return nearest.float < scale ? BFloat16(bitPattern: nearest.bitPattern + 1).float : nearest.float
    }
    return result
  }
}
