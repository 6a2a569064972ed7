import ONNXTensor

extension QuantizationScheme {
  /// Scale and zero point whose grid holds zero exactly and covers `range`.
  ///
  /// Symmetric: S = max|r| / (2^(b-1) - 1), z in the middle of the codes. Asymmetric: S = (upper - lower) / (2^b - 1)
  /// after the range is widened to hold zero, z = round(qmin - lower / S), half to even. S is rounded once to float32
  /// and z belongs to the rounded one. S is at least the smallest normal float32, so a range narrower than that
  /// rounds to zero instead of dividing by a denormal; an empty range at zero has S = 1. A reduced range leaves one bit of b
  /// unused; a power of two is the next one that covers the range. For a float type S = max|r| / its largest value.
  package func parameters(for range: ValueRange) throws(QuantizationError) -> QuantizationParameters {
    guard range.lower.isFinite, range.upper.isFinite, range.lower <= range.upper else {
      throw QuantizationError(.nonFinite, "the range \(range.lower) … \(range.upper) has no scale")
    }
    let (scale, zeroPoint) = try scaleAndZeroPoint(lower: range.lower, upper: range.upper)
    return QuantizationParameters(elementType: elementType, scale: scale, zeroPoint: zeroPoint)
  }

  /// One scale and zero point per channel along `axis`; no scale below that channel's entry of `smallestScales`.
  package func parameters(
    for ranges: [ValueRange], axis: Int, smallestScales: [Float]? = nil
  ) throws(QuantizationError) -> QuantizationParameters {
    var scales: [Float] = []
    var zeroPoints: [Int32] = []
    for (index, range) in ranges.enumerated() {
      guard range.lower.isFinite, range.upper.isFinite, range.lower <= range.upper else {
        throw QuantizationError(
          .nonFinite, "the range \(range.lower) … \(range.upper) of channel \(index) has no scale")
      }
      let smallest = smallestScales.map { index < $0.count ? $0[index] : 0 } ?? 0
      let (scale, zeroPoint) = try scaleAndZeroPoint(lower: range.lower, upper: range.upper, smallest: smallest)
      scales.append(scale)
      zeroPoints.append(zeroPoint)
    }
    return QuantizationParameters(elementType: elementType, scales: scales, zeroPoints: zeroPoints, axis: axis)
  }

  private func scaleAndZeroPoint(
    lower: Float, upper: Float, smallest: Float = 0
  ) throws(QuantizationError) -> (Float, Int32) {
    let format = Self.format(of: elementType)
    guard let codes = codes ?? format.map({ _ in 0...0 }) else {
      throw QuantizationError(.unsupportedType, "\(elementType.name) is not a type to quantize to")
    }
    let low = Double(min(lower, 0))
    let high = max(Double(max(upper, 0)), low + Double(smallestRange))
    let span = Double(codes.upperBound) - Double(codes.lowerBound)
    let middle = elementType.isUnsigned ? codes.upperBound / 2 + 1 : 0
    let isCentred = isSymmetric || format != nil
    let width = isCentred ? max(-low, high) : high - low
    let steps =
      format.map { Double($0.largest) } ?? (isSymmetric ? max(isReduced ? span / 2 : (span - 1) / 2, 1) : span)
    let floor = max(smallest, Float.leastNormalMagnitude)
    var scale = width == 0 ? max(1, smallest) : max(Float(width / steps), floor)
    if isPowerOfTwo, scale.significand != 1 { scale = Float(sign: .plus, exponent: scale.exponent + 1, significand: 1) }
    guard scale.isFinite else {
      throw QuantizationError(.nonFinite, "the range \(lower) … \(upper) has no scale that is a power of two")
    }
    if isCentred { return (scale, middle) }
    let exact = (Double(codes.lowerBound) - low / Double(scale)).rounded(.toNearestOrEven)
    return (scale, Int32(min(max(exact, Double(codes.lowerBound)), Double(codes.upperBound))))
  }
}

extension ElementType {
  var isUnsigned: Bool {
    switch self {
    case .uint2, .uint4, .uint8, .uint16, .uint32, .uint64: true
    default: false
    }
  }
}
