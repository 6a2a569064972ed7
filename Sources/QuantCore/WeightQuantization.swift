import ONNXTensor

/// Quantizes constant tensors: weights per tensor or per channel.
package struct WeightQuantizer: Sendable {
  package enum Method: Sendable {
    case minMax
    /// Per channel the scale of least squared error among min-max times 1, 127/128, … 64/128.
    case meanSquaredError
  }

  package var scheme: QuantizationScheme
  /// The channel axis; nil for one scale. Negative ones count from the last.
  package var axis: Int?
  package var method: Method
  /// Symmetric codes leave out the lowest one (-127…127), as engines that multiply magnitudes need it.
  package var isNarrow: Bool
  /// No channel's scale is below its entry: what a bias of 32 bits needs. Smaller weights round towards zero.
  package var smallestScales: [Float]?

  package init(
    scheme: QuantizationScheme = .int8Symmetric, axis: Int?, method: Method = .minMax, isNarrow: Bool = true,
    smallestScales: [Float]? = nil
  ) {
    self.scheme = scheme
    self.axis = axis
    self.method = method
    self.isNarrow = isNarrow
    self.smallestScales = smallestScales
  }

  /// The parameters for `weights`.
  ///
  /// - Throws: `QuantizationError` for a type that is not float, an axis that is not there, NaN or infinity.
  package func parameters(for weights: Tensor) throws(QuantizationError) -> QuantizationParameters {
    let (values, layout) = try read(weights)
    var ranges: [ValueRange] = []
    for channel in 0..<layout.channels {
      var (low, high) = (Float.infinity, -Float.infinity)
      var sum: Float = 0
      layout.forEach(channel) { index in
        let value = values[index]
        low = min(low, value)
        high = max(high, value)
        sum += value * 0
      }
      guard sum == 0 else {
        throw QuantizationError(
          .nonFinite,
          "channel \(channel) of a weight holds NaN or infinity; repair the model, its results are not numbers")
      }
      ranges.append(low <= high ? ValueRange(low + 0, high + 0) : ValueRange(0, 0))
    }
    var parameters: QuantizationParameters
    if axis == nil {
      parameters = try scheme.parameters(for: ranges, axis: 0, smallestScales: smallestScales)
      parameters.axis = nil
    } else {
      parameters = try scheme.parameters(for: ranges, axis: layout.axis, smallestScales: smallestScales)
    }
    if method == .meanSquaredError { searchScales(&parameters, values, layout, ranges) }
    return parameters
  }

  /// The codes of `weights` on the grid of `parameters`.
  package func quantize(_ weights: Tensor, _ parameters: QuantizationParameters) throws(QuantizationError) -> Tensor {
    let (values, layout) = try read(weights)
    guard parameters.scales.count == layout.channels else {
      throw QuantizationError(.badShape, "\(parameters.scales.count) scales for \(layout.channels) channels")
    }
    return try values.quantized(
      parameters, layout: layout, shape: weights.shape, lowest: lowestCode,
      highest: scheme.codes?.upperBound)
  }

  /// Parameters and codes of `weights`.
  package func quantize(_ weights: Tensor) throws(QuantizationError) -> (Tensor, QuantizationParameters) {
    let parameters = try parameters(for: weights)
    return (try quantize(weights, parameters), parameters)
  }

  private var lowestCode: Int32? {
    guard let codes = scheme.codes else { return nil }
    return scheme.isSymmetric && isNarrow && !scheme.isReduced ? codes.lowerBound + 1 : codes.lowerBound
  }

  private func read(_ weights: Tensor) throws(QuantizationError) -> ([Float], ChannelLayout) {
    guard weights.elementType.isFloatingPoint, let values = weights.floats else {
      throw QuantizationError(.unsupportedType, "a weight of type \(weights.elementType.name) cannot be quantized")
    }
    return (values, try ChannelLayout(shape: weights.shape, axis: axis))
  }

  private func searchScales(
    _ parameters: inout QuantizationParameters, _ values: [Float], _ layout: ChannelLayout, _ ranges: [ValueRange]
  ) {
    guard let codes = scheme.codes, let lowest = lowestCode else { return }
    for channel in 0..<layout.channels {
      var best = (scale: parameters.scales[channel], zeroPoint: parameters.zeroPoints[channel])
      var least = Double.infinity
      for step in 0...64 {
        let shrink = Float(128 - step) / 128
        let range = ValueRange(ranges[channel].lower * shrink, ranges[channel].upper * shrink)
        let smallest = smallestScales.map { channel < $0.count ? [$0[channel]] : [] }
        guard let candidate = try? scheme.parameters(for: [range], axis: 0, smallestScales: smallest) else { continue }
        let (scale, zeroPoint) = (candidate.scales[0], candidate.zeroPoints[0])
        var noise = 0.0
        layout.forEach(channel) { index in
          let code = min(
            max((values[index] / scale).rounded(.toNearestOrEven) + Float(zeroPoint), Float(lowest)),
            Float(codes.upperBound))
          let error = Double(values[index]) - Double(code - Float(zeroPoint)) * Double(scale)
          noise += error * error
        }
        if noise < least { (best, least) = ((scale, zeroPoint), noise) }
      }
      (parameters.scales[channel], parameters.zeroPoints[channel]) = best
    }
  }
}

/// Where the elements of a channel are: `outer` runs of `inner` elements.
package struct ChannelLayout: Sendable, Equatable {
  package let outer: Int
  package let channels: Int
  package let inner: Int
  /// Counted from the first; 0 for the whole tensor as one channel.
  package let axis: Int

  package init(shape: [Int], axis: Int?) throws(QuantizationError) {
    guard let asked = axis else {
      (outer, channels, inner, self.axis) = (1, 1, shape.reduce(1, *), 0)
      return
    }
    let axis = asked < 0 ? asked + shape.count : asked
    guard shape.indices.contains(axis) else {
      throw QuantizationError(.badShape, "a tensor of shape \(shape) has no axis \(asked)")
    }
    outer = shape[..<axis].reduce(1, *)
    channels = shape[axis]
    inner = shape[(axis + 1)...].reduce(1, *)
    self.axis = axis
  }

  @inline(__always) package func forEach(_ channel: Int, _ body: (Int) -> Void) {
    for run in 0..<outer {
      let start = (run * channels + channel) * inner
      for index in start..<start + inner { body(index) }
    }
  }

  @inline(__always) package func channel(of index: Int) -> Int { index / inner % channels }
}

extension [Float] {
  /// QuantizeLinear in float32: saturate(round_half_even(x / scale) + zero point), NaN to the zero point.
  func quantized(
    _ parameters: QuantizationParameters, layout: ChannelLayout, shape: [Int], lowest: Int32? = nil,
    highest: Int32? = nil
  ) throws(QuantizationError) -> Tensor {
    if let format = QuantizationScheme.format(of: parameters.elementType) {
      var codes = [UInt8](repeating: 0, count: count)
      for channel in 0..<layout.channels {
        let scale = parameters.scales[channel]
        layout.forEach(channel) { codes[$0] = format.encode(self[$0] / scale) }
      }
      return Tensor(codes: codes, elementType: parameters.elementType, shape: shape)
    }
    guard let codes = QuantizationScheme.codes(of: parameters.elementType) else {
      throw QuantizationError(.unsupportedType, "\(parameters.elementType.name) is not a type to quantize to")
    }
    let low = Double(lowest ?? codes.lowerBound)
    let high = Double(highest ?? codes.upperBound)
    var result = [Int32](repeating: 0, count: count)
    for channel in 0..<layout.channels {
      let scale = parameters.scales[channel]
      let zeroPoint = Double(parameters.zeroPoints[channel])
      layout.forEach(channel) { index in
        let steps = Double((self[index] / scale).rounded(.toNearestOrEven))
        result[index] = Int32(Swift.min(Swift.max(steps.isNaN ? zeroPoint : steps + zeroPoint, low), high))
      }
    }
    switch parameters.elementType {
    case .int8: return Tensor(result.map { Int8(truncatingIfNeeded: $0) }, shape: shape)
    case .uint8: return Tensor(result.map { UInt8(truncatingIfNeeded: $0) }, shape: shape)
    case .int16: return Tensor(result.map { Int16(truncatingIfNeeded: $0) }, shape: shape)
    case .uint16: return Tensor(result.map { UInt16(truncatingIfNeeded: $0) }, shape: shape)
    case .int32: return Tensor(result, shape: shape)
    default:
      return Tensor(
        codes: result.map { UInt8(truncatingIfNeeded: $0) }, elementType: parameters.elementType, shape: shape)
    }
  }
}

extension QuantizationParameters {
  /// The codes of a float tensor, as QuantizeLinear gives them.
  package func quantize(_ tensor: Tensor) throws(QuantizationError) -> Tensor {
    guard let values = tensor.floats else {
      throw QuantizationError(.unsupportedType, "a tensor of type \(tensor.elementType.name) cannot be quantized")
    }
    return try values.quantized(self, layout: layout(tensor.shape), shape: tensor.shape)
  }

  /// (q - z) * S in float32, as DequantizeLinear gives it.
  package func dequantize(_ tensor: Tensor) throws(QuantizationError) -> Tensor {
    if QuantizationScheme.format(of: elementType) != nil, let values = tensor.floats {
      let layout = try layout(tensor.shape)
      var result = [Float](repeating: 0, count: values.count)
      for channel in 0..<layout.channels { layout.forEach(channel) { result[$0] = values[$0] * scales[channel] } }
      return Tensor(result, shape: tensor.shape)
    }
    guard let codes = tensor.integers else {
      throw QuantizationError(.unsupportedType, "a tensor of type \(tensor.elementType.name) holds no codes")
    }
    let layout = try layout(tensor.shape)
    var result = [Float](repeating: 0, count: codes.count)
    for channel in 0..<layout.channels {
      let (scale, zeroPoint) = (scales[channel], Int(zeroPoints[channel]))
      layout.forEach(channel) { result[$0] = Float(codes[$0] - zeroPoint) * scale }
    }
    return Tensor(result, shape: tensor.shape)
  }

  private func layout(_ shape: [Int]) throws(QuantizationError) -> ChannelLayout {
    let layout = try ChannelLayout(shape: shape, axis: axis)
    guard layout.channels == scales.count, scales.count == zeroPoints.count else {
      throw QuantizationError(.badShape, "\(scales.count) scales for \(layout.channels) channels")
    }
    return layout
  }
}
