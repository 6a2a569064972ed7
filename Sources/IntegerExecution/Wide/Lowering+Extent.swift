import ONNXGraph
import ONNXTensor
import OperatorLibrary

extension Lowering {
  /// The extent of an axis counted from the last one (0), where constants and declared types say it for all inputs.
  func extent(_ value: Value, fromLast axis: Int, depth: Int = 0) -> Int? {
    if let shape = value.type?.tensorType?.shape, axis < shape.count,
      case .value(let known) = shape[shape.count - 1 - axis].extent, known > 0
    {
      return Int(exactly: known)
    }
    if let tensor = constant(value) { return axis < tensor.rank ? tensor.shape[tensor.rank - 1 - axis] : nil }
    if let shape = inference?.type(of: value)?.tensorType?.shape, axis < shape.count,
      case .value(let known) = shape[shape.count - 1 - axis].extent, known > 0
    {
      return Int(exactly: known)
    }
    guard let node = value.producer, depth < 16, value === node.output(0) else { return nil }
    switch node.opType {
    case "QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "Identity", "Softmax", "LayerNormalization":
      return node.input(0).flatMap { extent($0, fromLast: axis, depth: depth + 1) }
    case "Transpose":
      guard let order = node.ints("perm"), axis < order.count, order[order.count - 1 - axis] < order.count else {
        return nil
      }
      let from = order.count - 1 - order[order.count - 1 - axis]
      return from < 0 ? nil : node.input(0).flatMap { extent($0, fromLast: from, depth: depth + 1) }
    case "Reshape":
      guard let shape = node.input(1).flatMap(elements), axis < shape.count, let entry = shape[shape.count - 1 - axis]
      else { return nil }
      return entry > 0 ? entry : nil
    case "MatMul":
      return axis == 0 ? node.input(1).flatMap { extent($0, fromLast: 0, depth: depth + 1) } : nil
    default: return nil
    }
  }

  /// The entries of a vector of integers as far as they are constants.
  private func elements(_ value: Value) -> [Int?]? {
    if let integers = constant(value)?.integers { return integers }
    guard let node = value.producer, node.opType == "Concat" else { return nil }
    var result: [Int?] = []
    for input in node.inputs {
      guard let input else { return nil }
      if let integers = constant(input)?.integers {
        result += integers
      } else if input.producer?.opType == "Unsqueeze" {
        result.append(nil)
      } else {
        return nil
      }
    }
    return result
  }
}
