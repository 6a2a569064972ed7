import ONNXGraph

extension Verification {
  /// Which tensors of a Q/DQ model stand for which tensors of the float model: the output of a DequantizeLinear whose
  /// QuantizeLinear reads a tensor that the float model has under the same name.
  package static func tensorPairs(float: Model, quantized: Model) -> [(quantized: String, float: String)] {
    var pairs: [(quantized: String, float: String)] = []
    let (before, after) = (float.graph.allGraphs, quantized.graph.allGraphs)
    // Insertion leaves the nesting as it is; where it differs, only the main graphs are known to correspond.
    let graphs = before.count == after.count ? Array(zip(before, after)) : [(float.graph, quantized.graph)]
    let (floatNames, quantizedNames) = (float.tensorNames, quantized.tensorNames)
    for (float, quantized) in graphs { pairs += tensorPairs(float, quantized, floatNames, quantizedNames) }
    return pairs
  }

  private static func tensorPairs(
    _ float: Graph, _ quantized: Graph, _ floatNames: [Value: String], _ quantizedNames: [Value: String]
  ) -> [(quantized: String, float: String)] {
    let names = Dictionary(float.values.map { ($0.name, floatNames[$0] ?? $0.name) }) { first, _ in first }
    var pairs: [(quantized: String, float: String)] = []
    for node in quantized.nodes where node.opType == "DequantizeLinear" {
      guard let quantize = node.input(0)?.producer, quantize.opType == "QuantizeLinear", let source = quantize.input(0),
        let output = node.output(0)
      else { continue }
      // A graph output keeps its name behind the DQ; the tensor before the Q then has a derived one.
      guard let name = names[output.name] ?? names[source.name] else { continue }
      pairs.append((quantizedNames[output] ?? output.name, name))
    }
    return pairs
  }
}
