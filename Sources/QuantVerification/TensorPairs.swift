import ONNXGraph

extension Verification {
  /// Which tensors of a Q/DQ model stand for which tensors of the float model: the output of a DequantizeLinear whose
  /// QuantizeLinear reads a tensor that the float model has under the same name.
  package static func tensorPairs(float: Model, quantized: Model) -> [(quantized: String, float: String)] {
    let names = Set(float.graph.values.map(\.name))
    var pairs: [(quantized: String, float: String)] = []
    for node in quantized.graph.nodes where node.opType == "DequantizeLinear" {
      guard let quantize = node.input(0)?.producer, quantize.opType == "QuantizeLinear", let source = quantize.input(0),
        let output = node.output(0)
      else { continue }
      // A graph output keeps its name behind the DQ; the tensor before the Q then has a derived one.
      if names.contains(output.name) {
        pairs.append((output.name, output.name))
      } else if names.contains(source.name) {
        pairs.append((output.name, source.name))
      }
    }
    return pairs
  }
}
