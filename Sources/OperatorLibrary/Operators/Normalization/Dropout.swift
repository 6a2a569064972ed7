import ONNXGraph
import ONNXTensor

/// The identity at inference; in training, elements are dropped at random and the rest scaled up.
///
/// Opsets 1, 6, 7, 10, 12, 13, 22. The random sequence is our own: only its distribution is specified.
enum Dropout: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let seed = try node.int("seed") ?? 0
    let attributeRatio = try node.float("ratio", default: 0.5)
    let opset = node.opset
    let isOldTest = opset < 7 ? try node.bool("is_test", default: false) : true
    return Kernel { values, context in
      let inputs = TensorInputs(values)
      let x = try inputs[0]
      var ratio = attributeRatio
      var isTraining = !isOldTest
      if opset >= 12 {
        ratio = try inputs.optional(1)?.scalarReal("the ratio") ?? 0.5
        isTraining = try inputs.optional(2)?.scalarInteger("training_mode") ?? 0 != 0
      }
      var y = x
      var mask = [Bool](repeating: true, count: context.outputCount > 1 ? x.count : 0)
      if isTraining && ratio != 0 {
        guard ratio > 0, ratio < 1 else { throw OperatorError("ratio \(ratio) does not lie in 0 ..< 1") }
        mask = keep(count: x.count, ratio: ratio, seed: UInt64(bitPattern: Int64(seed)))
        y = try dropped(try x.elementType.computeType(), x, mask, ratio)
      }
      if context.outputCount < 2 { return [.tensor(y)] }
      let isBool = opset >= 10
      let flags =
        isBool
        ? Tensor(mask, shape: x.shape)
        : try Tensor(reals: mask.map { Float($0 ? 1 : 0) }, as: x.elementType, shape: x.shape)
      return [.tensor(y), .tensor(flags)]
    }
  }

  @_specialize(where T == Float)
  private static func dropped<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ mask: [Bool], _ ratio: Float
  ) throws -> Tensor {
    let scale = 1 / (1 - T(ratio))
    let y = zip(try x.reals(T.self), mask).map { $1 ? $0 * scale : 0 }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  /// Flags that are true with probability 1 - ratio, by the SplitMix64 generator.
  private static func keep(count: Int, ratio: Float, seed: UInt64) -> [Bool] {
    var state = seed
    return (0..<count).map { _ in
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      z ^= z >> 31
      return Float(z >> 40) / Float(1 << 24) >= ratio
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [
      inputs.like(0),
      InferredValue(node.opset >= 10 ? .bool : inputs.elementType(0), extents: inputs.extents(0)),
    ]
  }

  static var quantization: QuantizationTraits { .movement }
}
