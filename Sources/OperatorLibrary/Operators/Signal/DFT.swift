import ONNXGraph
import ONNXTensor

/// The discrete Fourier transform along one axis; the last axis holds real, or real and imaginary parts.
///
/// Opsets 17 (`axis` an attribute), 20 (an input). `onesided` with `inverse` gives a real signal.
enum DFT: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isInverse = try node.bool("inverse", default: false)
    let isOneSided = try node.bool("onesided", default: false)
    let fixedAxis = node.opset < 20 ? try node.int("axis", default: 1) : nil
    return .tensors { inputs, context in
      let x = try inputs[0]
      let axis = try fixedAxis ?? inputs.optional(2)?.scalarInteger("the axis") ?? -2
      let length = try inputs.optional(1)?.scalarInteger("dft_length")
      // As the reference computes: real signals in double precision, complex ones in their own.
      let own = try x.elementType.computeType()
      let arithmetic: any ComputeReal.Type = x.shape.last == 1 ? Double.self : own
      return try run(
        arithmetic, x, try checkedAxis(axis, x.rank), length, isInverse: isInverse,
        isOneSided: isOneSided)
    }
  }

  private static func checkedAxis(_ axis: Int, _ rank: Int) throws -> Int {
    let axis = try CheckedSize.axis(axis, rank: rank)
    guard rank >= 2, axis < rank - 1 else { throw OperatorError("axis \(axis) does not fit a signal of rank \(rank)") }
    return axis
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ axis: Int, _ length: Int?, isInverse: Bool, isOneSided: Bool
  ) throws -> Tensor {
    let parts = x.shape[x.rank - 1]
    guard parts == 1 || parts == 2 else { throw OperatorError("the last axis of \(x.shape) is not 1 or 2") }
    let isReal = isInverse && isOneSided
    let given = x.shape[axis]
    let count = length ?? (isReal ? 2 * max(given - 1, 0) : given)
    guard count >= 1 else { throw OperatorError("a transform of length \(count)") }
    var shape = x.shape
    shape[axis] = isOneSided && !isInverse ? count / 2 + 1 : count
    shape[x.rank - 1] = isReal ? 1 : 2
    try CheckedSize.check(shape, of: .float64)
    try CheckedSize.check([count, 2], of: .float64)
    let values = try x.reals(T.self)
    let outer = extent(x.shape[..<axis])
    let inner = extent(x.shape[(axis + 1)..<(x.rank - 1)])
    let transform = FourierTransform<T>(count: count, isInverse: isInverse)
    let produced = shape[axis]
    let outParts = shape[x.rank - 1]
    var y = [T](repeating: 0, count: extent(shape))
    var signal = [FourierTransform<T>.Complex](repeating: .init(re: 0, im: 0), count: count)
    for o in 0..<outer {
      for i in 0..<inner {
        for k in 0..<count {
          // A one-sided spectrum is continued by its conjugate.
          let isMirrored = isReal && k > count / 2
          let source = isMirrored ? count - k : k
          let base = ((o * given + source) * inner + i) * parts
          signal[k].re = source < given ? values[base] : 0
          signal[k].im = source < given && parts == 2 ? (isMirrored ? -values[base + 1] : values[base + 1]) : 0
        }
        if isReal {
          signal[0].im = 0
          if count % 2 == 0 { signal[count / 2].im = 0 }
        }
        let result = transform(signal)
        for k in 0..<produced {
          let target = ((o * produced + k) * inner + i) * outParts
          y[target] = result[k].re
          if outParts == 2 { y[target + 1] = result[k].im }
        }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let type = inputs.elementType(0)
    let isInverse = try node.bool("inverse", default: false)
    let isOneSided = try node.bool("onesided", default: false)
    guard var extents = inputs.extents(0), extents.count >= 2 else { return [InferredValue(type, extents: nil)] }
    let hasAxisInput = node.opset >= 20 && inputs.count > 2 && inputs[2] != nil
    let lengthKnown = inputs.count < 2 || inputs[1] == nil || inputs.constant(1) != nil
    extents[extents.count - 1] = Extent(isInverse && isOneSided ? 1 : 2)
    let axisInput: Int? = hasAxisInput ? inputs.constant(2)?.integers?.first : -2
    let axisValue: Int? = node.opset < 20 ? try node.int("axis", default: 1) : axisInput
    guard let axisValue else {
      let keepsLength = !isOneSided && (inputs.count < 2 || inputs[1] == nil)
      if keepsLength { return [InferredValue(type, extents: extents)] }
      return [
        InferredValue(
          type, extents: extents.indices.map { $0 == extents.count - 1 ? extents[$0] : .unknown })
      ]
    }
    let axis = try checkedAxis(axisValue, extents.count)
    let given = extents[axis].known.map { isInverse && isOneSided ? ($0 - 1) &* 2 : $0 }
    let count = lengthKnown ? inputs.constant(1)?.integers?.first ?? given : nil
    if isOneSided && !isInverse {
      extents[axis] = count.map { Extent($0 / 2 + 1) } ?? .unknown
    } else if count == nil && lengthKnown && !isOneSided {
      // The length of the signal, whatever it is.
    } else {
      extents[axis] = count.map { Extent($0) } ?? .unknown
    }
    return [InferredValue(type, extents: extents)]
  }
}
