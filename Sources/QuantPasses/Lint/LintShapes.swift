import ONNXGraph
import ONNXTensor

/// Shapes as far as rules need them: declared ones, and those that follow from the operators before.
struct LintShapes {
  let context: LintContext

  init(_ context: LintContext) { self.context = context }

  /// nil where not even the rank is known; an element is nil where an extent is not.
  func shape(of value: Value, depth: Int) -> [Int?]? {
    if let constant = context.constants.shape(value) { return constant }
    if let declared = value.type?.tensorType?.shape {
      return declared.map { dimension in
        if case .value(let extent) = dimension.extent, extent >= 0 { Int(extent) } else { nil }
      }
    }
    guard depth < 200, let node = value.producer, node.isStandard || context.quantizers[node] != nil else { return nil }
    func input(_ index: Int) -> [Int?]? { node.input(index).flatMap { shape(of: $0, depth: depth + 1) } }
    switch node.opType {
    case "QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "Softmax", "LogSoftmax",
      "Identity", "Dropout", "LayerNormalization", "BatchNormalization", "Erf", "Gelu", "Elu", "HardSwish":
      return input(0)
    case "Add", "Mul", "Sub", "Div":
      guard let left = input(0), let right = input(1) else { return nil }
      return left.count >= right.count ? left : right
    case "Flatten": return [nil, nil]
    case "Gemm":
      guard let weight = context.constantShape(node.input(1)), weight.count == 2 else { return [nil, nil] }
      return [nil, weight[node.int("transB") ?? 0 == 0 ? 1 : 0]]
    case "MatMul":
      guard let left = input(0), let weight = context.constantShape(node.input(1)), weight.count == 2, !left.isEmpty
      else {
        return nil
      }
      return left.dropLast() + [weight[1]]
    case "Reshape":
      guard let wanted = context.constants.tensor(node.input(1))?.integers else { return nil }
      return wanted.map { $0 > 0 ? $0 : nil }
    case "Transpose":
      guard let shape = input(0) else { return nil }
      let order = node.ints("perm") ?? Array(shape.indices.reversed())
      guard order.sorted() == Array(shape.indices) else { return nil }
      return order.map { shape[$0] }
    case "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Slice", "Concat", "Pad", "Resize":
      return input(0)?.map { _ in nil }
    case "Squeeze", "Unsqueeze":
      guard let shape = input(0), let axes = node.ints("axes") ?? context.constants.tensor(node.input(1))?.integers
      else {
        return nil
      }
      if node.opType == "Unsqueeze" {
        return [Int?](repeating: shape.allSatisfy { $0 != nil } ? 1 : nil, count: shape.count + axes.count)
      }
      let dropped = Set(axes.map { $0 < 0 ? $0 + shape.count : $0 })
      return shape.enumerated().filter { !dropped.contains($0.offset) }.map(\.element)
    case "ReduceMean", "ReduceMax", "ReduceSum":
      guard node.int("keepdims") ?? 1 == 0 else { return input(0)?.map { _ in nil } }
      guard let shape = input(0), let axes = node.ints("axes") ?? context.constants.tensor(node.input(1))?.integers
      else {
        return nil
      }
      return [Int?](repeating: nil, count: max(0, shape.count - axes.count))
    default: return nil
    }
  }
}
