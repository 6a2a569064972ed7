import ONNXGraph

/// Multiply-accumulates of one sample per node, from the shapes that the samples had.
struct MultiplyAccumulates {
  let view: QuantizationView
  let judge: TensorJudge

  /// 0 where the operator has none, or shapes are not known.
  func count(_ node: Node) -> Int {
    guard node.isStandard, let output = node.output(0), let shape = judge.shape(output) else { return 0 }
    let elements = product(shape)
    switch node.opType {
    case "Conv", "ConvTranspose":
      guard let weight = weightShape(node), weight.count >= 3 else { return 0 }
      if node.opType == "Conv" { return product([elements] + weight.dropFirst()) }
      guard let input = node.input(0).flatMap({ judge.shape(view.tensor($0)) }) else { return 0 }
      return product([product(input)] + weight.dropFirst())
    case "Gemm", "MatMul":
      if let weight = weightShape(node), weight.count >= 2 {
        let isTransposed = node.opType == "Gemm" && node.int("transB") ?? 0 != 0
        return product([elements, weight[weight.count - (isTransposed ? 1 : 2)]])
      }
      guard let input = node.input(0).flatMap({ judge.shape(view.tensor($0)) }), let depth = input.last else {
        return 0
      }
      return product([elements, depth])
    default: return 0
    }
  }

  private func product(_ values: some Sequence<Int>) -> Int {
    values.reduce(1) {
      let (product, overflow) = $0.multipliedReportingOverflow(by: $1)
      return overflow ? 0 : product
    }
  }

  private func weightShape(_ node: Node) -> [Int]? { node.input(1).flatMap { view.constantShape(view.tensor($0)) } }
}
