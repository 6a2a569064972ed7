import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// MatMulInteger and ConvInteger: operators of the graph whose results are accumulators. Their zero points may be computed,
/// as DynamicQuantizeLinear does.
extension Lowering {
  func integerProduct(_ node: Node) throws -> Int? {
    guard let left = node.input(0), let right = node.input(1) else { return nil }
    return node.opType == "MatMulInteger"
      ? try integerMatrices(node, left, right) : try integerConvolution(node, left, right)
  }

  /// The slots of an operand's zero point; a constant one must be a single number.
  private func zeroSlot(_ value: Value?) throws -> (slot: Int?, fits: Bool) {
    guard let value else { return (nil, true) }
    if let tensor = constant(value), tensor.count != 1 { return (nil, false) }
    return (try runtime(value), true)
  }

  private func integerMatrices(_ node: Node, _ left: Value, _ right: Value) throws -> Int? {
    let a = try zeroSlot(node.input(2))
    let b = try zeroSlot(node.input(3))
    guard a.fits, b.fits else { return refuse(node, "its zero points are one for each row or column") }
    if let tensor = constant(right), tensor.rank >= 1 {
      let depth = tensor.shape[max(tensor.rank - 2, 0)]
      guard depth <= IntegerMatricesStep.limit else {
        return refuse(node, "a sum of \(depth) products may exceed 32 bits")
      }
    }
    return emit(
      node, .integer, [try runtime(left), try runtime(right), a.slot, b.slot], IntegerMatricesStep())
  }

  private func integerConvolution(_ node: Node, _ input: Value, _ weightValue: Value) throws -> Int? {
    guard let tensor = constant(weightValue), (3...5).contains(tensor.rank), tensor.count > 0 else {
      return refuse(node, "its weights are computed")
    }
    let zero = try zeroSlot(node.input(2))
    guard zero.fits else { return refuse(node, "its zero points are one for each channel") }
    var zeros = [0]
    if let value = node.input(3) {
      guard let integers = constant(value)?.integers, integers.count == 1 || integers.count == tensor.shape[0] else {
        return refuse(node, "its weights' zero points are computed")
      }
      zeros = integers
    }
    let quantization = LinearQuantization(
      elementType: tensor.elementType, scales: [Float](repeating: 1, count: zeros.count), zeroPoints: zeros,
      axis: zeros.count == 1 ? nil : 0)
    guard tensor.elementType == .int8 || tensor.elementType == .uint8,
      let weights = read(tensor, quantization, channelAxis: 0)
    else { return refuse(node, "its weights are not 8-bit integers") }
    let window = try WindowFields(OperatorNode(node, opset: context.opsets[""] ?? 1))
    let groups = node.int("group") ?? 1
    guard var description = ConvolutionDescription(split: tensor.shape, groups: groups, window) else {
      return refuse(node, "its weights do not fit its groups and attributes")
    }
    description.weights = weights.values
    description.weightZeros = weights.zeros
    for extreme: Int32 in [0, 255] {
      description.inputZero = extreme
      let bounds = try description.bounds()
      guard bounds.least.allSatisfy({ $0 >= Int64(Int32.min) }), bounds.greatest.allSatisfy({ $0 <= Int64(Int32.max) })
      else { return refuse(node, "an accumulator may leave 32 bits") }
    }
    return emit(
      node, .integer, [try runtime(input), zero.slot],
      IntegerConvolutionStep(window, groups: groups, weightShape: tensor.shape, description))
  }
}
