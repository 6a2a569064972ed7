import FloatKernels
import ONNXGraph
import ONNXTensor

/// The largest element of each window, and where it stands in the whole input. Padding never wins.
///
/// Opsets 1, 8, 10, 11, 12, 22.
enum MaxPool: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try WindowGeometry.Attributes(node)
    let isColumnMajor = try node.bool("storage_order", default: false)
    return Kernel { values, context in
      let x = try TensorInputs(values)[0]
      let geometry = try WindowPool.geometry(attributes, x)
      let shape = Array(x.shape.prefix(2)) + geometry.output
      let isIndexed = context.outputCount > 1
      if x.elementType == .float32, !isIndexed, geometry.rank <= 3 {
        return [.tensor(try WindowPool.pool(.max, x, geometry, context))]
      }
      func run<T: TensorElement & Comparable>(
        _ type: T.Type, lowest: T, isNaN: (T) -> Bool
      ) -> [RuntimeValue?] {
        let (best, indices) = pool(
          x.array(T.self), planes: x.shape[0] * x.shape[1], geometry, lowest: lowest, isNaN: isNaN,
          isIndexed: isIndexed,
          isColumnMajor: isColumnMajor)
        return [.tensor(Tensor(best, shape: shape))] + (isIndexed ? [.tensor(Tensor(indices, shape: shape))] : [])
      }
      switch x.elementType {
      case .float32: return run(Float.self, lowest: -.infinity) { $0.isNaN }
      case .float64: return run(Double.self, lowest: -.infinity) { $0.isNaN }
      case .float16: return run(Float16.self, lowest: -.infinity) { $0.isNaN }
      case .int8: return run(Int8.self, lowest: .min) { _ in false }
      case .uint8: return run(UInt8.self, lowest: .min) { _ in false }
      case .bfloat16:
        let (best, indices) = pool(
          try x.reals(Float.self), planes: x.shape[0] * x.shape[1], geometry, lowest: -.infinity, isNaN: \.isNaN,
          isIndexed: isIndexed, isColumnMajor: isColumnMajor)
        let y = try Tensor(reals: best, as: .bfloat16, shape: shape)
        return [.tensor(y)] + (isIndexed ? [.tensor(Tensor(indices, shape: shape))] : [])
      default: throw OperatorError("input 0 has type \(x.elementType.name), which MaxPool does not take")
      }
    }
  }

  private static func pool<T: Comparable>(
    _ x: [T], planes: Int, _ geometry: WindowGeometry, lowest: T, isNaN: (T) -> Bool, isIndexed: Bool,
    isColumnMajor: Bool
  ) -> ([T], [Int64]) {
    let plane = extent(geometry.input)
    let outPlane = geometry.outputCount
    var y = [T](repeating: lowest, count: planes * outPlane)
    var indices = [Int64](repeating: 0, count: isIndexed ? y.count : 0)
    var taps: [(kernel: Int, offset: Int)] = []
    var position = [Int](repeating: 0, count: geometry.rank)
    guard !y.isEmpty else { return (y, indices) }
    for out in 0..<outPlane {
      geometry.taps(at: position, into: &taps)
      for number in 0..<planes {
        var best = lowest
        var bestOffset = taps.first?.offset ?? 0
        for tap in taps {
          let value = x[number * plane + tap.offset]
          if value > best || isNaN(value) {
            (best, bestOffset) = (value, tap.offset)
            if isNaN(value) { break }
          }
        }
        y[number * outPlane + out] = best
        if isIndexed {
          let offset = isColumnMajor ? transposedOffset(bestOffset, geometry.input) : bestOffset
          indices[number * outPlane + out] = Int64(number * plane + offset)
        }
      }
      advance(&position, in: geometry.output)
    }
    return (y, indices)
  }

  /// The offset of the same element when the first axis runs fastest.
  private static func transposedOffset(_ offset: Int, _ shape: [Int]) -> Int {
    var rest = offset
    var coordinates = [Int](repeating: 0, count: shape.count)
    for axis in shape.indices.reversed() {
      coordinates[axis] = rest % shape[axis]
      rest /= shape[axis]
    }
    var result = 0
    for axis in shape.indices.reversed() { result = result * shape[axis] + coordinates[axis] }
    return result
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let extents = try WindowPool.infer(node, inputs)
    return [InferredValue(inputs.elementType(0), extents: extents), InferredValue(.int64, extents: extents)]
  }

  static var quantization: QuantizationTraits { .movement }
}
