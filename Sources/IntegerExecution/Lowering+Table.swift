import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

extension Lowering {
  static let elementwise: Set<String> = [
    "Abs", "Acos", "Acosh", "Add", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Clip", "Cos", "Cosh", "Div",
    "Elu",
    "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Mean", "Min",
    "Mish",
    "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh",
    "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "QuickGelu", "FastGelu",
    "BiasGelu",
  ]

  /// Element by element functions of one quantized tensor and scalars, whatever their number of nodes, as one table of
  /// 256 entries: each entry is the operators' own float result for that byte, quantized. nil where `value` is not such.
  func table(_ value: Value, _ target: QuantizationTarget, _ node: Node) throws -> Int? {
    var region = Region()
    guard collect(value, into: &region), let (quantized, parameters) = region.source else { return nil }
    let inputs = (0..<256).map { parameters.dequantize(UInt8($0)) }
    var values: [Value: RuntimeValue] = [:]
    for leaf in region.leaves { values[leaf] = .tensor(Tensor(inputs, shape: [256])) }
    for node in region.nodes {
      let known = node.inputs.map { $0.flatMap { region.leaves.contains($0) ? nil : constant($0) } }
      let arguments = node.inputs.map { $0.flatMap { input in values[input] ?? constant(input).map { .tensor($0) } } }
      guard let kernel = try? context.prepare(node, constants: known),
        let results = try? kernel.body(arguments, EvaluationContext(outputCount: node.outputs.count)),
        let output = node.output(0), let result = results.first, let result
      else { return nil }
      values[output] = result
    }
    guard let outputs = values[value]?.tensor?.floats, outputs.count == 256 else { return nil }
    let table = outputs.map { target.bounded(target.parameters.quantize($0)) }
    let slot = try bytes(of: quantized)
    return emit(node, .integer, [slot], TableStep(table))
  }

  private struct Region {
    var source: (quantized: Value, parameters: ActivationParameters)?
    /// Dequantized values that stand for the source.
    var leaves: Set<Value> = []
    /// Producers first.
    var nodes: [Node] = []
  }

  /// Adds the producers of `value`; false where it is no function of one quantized tensor.
  private func collect(_ value: Value, into region: inout Region) -> Bool {
    if let tensor = constant(value) { return tensor.count == 1 }
    if let found = source(value) {
      if let known = region.source, known.quantized != found.quantized || known.parameters != found.parameters {
        return false
      }
      region.source = found
      region.leaves.insert(value)
      return true
    }
    guard let node = value.producer, value === node.output(0), node.outputs.count == 1,
      node.canonicalDomain.isEmpty || node.canonicalDomain == "com.microsoft", Self.elementwise.contains(node.opType),
      region.nodes.count < 32
    else { return false }
    if region.nodes.contains(node) { return true }
    for input in node.inputs { if let input, !collect(input, into: &region) { return false } }
    if !region.nodes.contains(node) { region.nodes.append(node) }
    return true
  }
}
