import ONNXTensor

/// What quantizing a tensor to a grid is expected to do to it, from its statistics alone.
package struct GridError: Sendable, Equatable {
  /// Sum of squared values and of squared errors, over all finite elements.
  package var signal: Double
  package var noise: Double
  /// Share of the non-zero elements that become zero: near 1 where a few huge values drown all others.
  package var vanished: Double
  /// Share of the elements beyond the ends of the grid.
  package var clipped: Double
  /// The same as `signal` and `noise` without the elements above the 99th percentile of non-zero magnitudes.
  package var bodySignal: Double
  package var bodyNoise: Double

  package var sqnr: Double { decibels(signal: signal, noise: noise) }
  package var bodySQNR: Double { decibels(signal: bodySignal, noise: bodyNoise) }
}

extension Distribution {
  /// Expected sum of squared errors of quantizing to codes `-below ... above` (relative to the zero point) times `scale`.
  func noise(scale: Double, below: Double, above: Double) -> Double {
    positive.noise(scale: scale, codes: above, limit: .infinity)
      + negative.noise(scale: scale, codes: below, limit: .infinity)
  }

  func noise(_ parameters: QuantizationParameters) -> Double? {
    if let format = QuantizationScheme.format(of: parameters.elementType) {
      let scale = Double(parameters.scale)
      return positive.noise(format, scale: scale) + negative.noise(format, scale: scale)
    }
    guard let codes = QuantizationScheme.codes(of: parameters.elementType) else { return nil }
    return noise(
      scale: Double(parameters.scale), below: Double(parameters.zeroPoint) - Double(codes.lowerBound),
      above: Double(codes.upperBound) - Double(parameters.zeroPoint))
  }
}

extension Distribution.Side {
  /// The error of the values of this side up to magnitude `limit`.
  ///
  /// In units of the scale, value u becomes n = min(round(u), codes); the squared error has the antiderivative
  /// n/12 + (u - n)^3/3, which holds for rounding and, with n fixed, for clipping.
  func noise(scale: Double, codes: Double, limit: Double) -> Double {
    if codes <= 0 { return squares(below: limit) }
    let half = scale * 0.5
    let first = min(firstBin(endingAbove: half), firstBin(endingAbove: limit))
    var sum = squaresBelow[first]
    let inverse = 1 / scale
    let square = scale * scale
    for index in first..<counts.count {
      if lower[index] >= limit { break }
      let share = upper[index] <= limit ? 1 : (limit - lower[index]) / (upper[index] - lower[index])
      let low = lower[index] * inverse
      let high = min(upper[index], limit) * inverse
      let (lowCode, highCode) = (nearest(low, codes), nearest(high, codes))
      let (lowRest, highRest) = (low - lowCode, high - highCode)
      let mean =
        if lowCode == highCode {
          (lowRest * lowRest + lowRest * highRest + highRest * highRest) / 3
        } else {
          ((highCode - lowCode) / 12 + (highRest * highRest * highRest - lowRest * lowRest * lowRest) / 3)
            / (high - low)
        }
      sum += counts[index] * share * mean * square
    }
    return sum
  }

  /// The error of rounding to a float type: a twelfth of the square of each binade's step, all of what becomes zero, and
  /// what lies beyond the largest value.
  func noise(_ format: MinifloatFormat, scale: Double) -> Double {
    let smallestStep = Double(format.decode(1)) * scale
    let largest = Double(format.largest) * scale
    var sum = 0.0
    for index in counts.indices {
      let (low, high) = (lower[index], upper[index])
      func meanSquare(_ from: Double, _ to: Double) -> Double { (from * from + from * to + to * to) / 3 }
      if low >= largest {
        sum += counts[index] * meanSquare(low - largest, high - largest)
      } else if high <= smallestStep / 2 {
        sum += counts[index] * meanSquare(low, high)
      } else {
        let binade = Double(sign: .plus, exponent: (high / scale).exponent, significand: 1) * scale
        let step = max(binade * Double(sign: .plus, exponent: -format.mantissaBits, significand: 1), smallestStep)
        sum += counts[index] * step * step / 12
      }
    }
    return sum
  }

  func squares(below limit: Double) -> Double {
    let index = firstBin(endingAbove: limit)
    guard index < counts.count, lower[index] < limit else { return squaresBelow[index] }
    let share = (limit - lower[index]) / (upper[index] - lower[index])
    return squaresBelow[index]
      + counts[index] * share * (lower[index] * lower[index] + lower[index] * limit + limit * limit) / 3
  }

  private func nearest(_ value: Double, _ codes: Double) -> Double {
    // Adding and taking away 1.5 * 2^52 rounds half to even below 2^51.
    value >= codes ? codes : (value + 0x1.8p52) - 0x1.8p52
  }
}

extension TensorStatistics {
  /// The expected error on the grid of per-tensor parameters; nil for a tensor without finite values.
  package func error(on parameters: QuantizationParameters) -> GridError? {
    guard let distribution = Distribution(self), let noise = distribution.noise(parameters),
      let codes = QuantizationScheme.codes(of: parameters.elementType)
    else { return nil }
    let scale = Double(parameters.scale)
    let above = Double(codes.upperBound) - Double(parameters.zeroPoint)
    let below = Double(parameters.zeroPoint) - Double(codes.lowerBound)
    let (positive, negative) = (distribution.positive, distribution.negative)
    let nonZero = positive.total + negative.total
    let vanished =
      (above > 0 ? positive.count(below: scale / 2) : positive.total)
      + (below > 0 ? negative.count(below: scale / 2) : negative.total)
    // Half a step beyond the last code still rounds to it.
    let clipped =
      positive.total - positive.count(below: (above + 0.5) * scale) + negative.total
      - negative.count(below: (below + 0.5) * scale)
    let zeroShare = distribution.zeros / max(distribution.total, 1)
    let body = distribution.magnitude(covering: zeroShare + 0.99 * (1 - zeroShare))
    return GridError(
      signal: distribution.energy, noise: noise, vanished: nonZero > 0 ? vanished / nonZero : 0,
      clipped: clipped / max(distribution.total, 1),
      bodySignal: positive.squares(below: body) + negative.squares(below: body),
      bodyNoise: positive.noise(scale: scale, codes: above, limit: body)
        + negative.noise(scale: scale, codes: below, limit: body))
  }

  /// The predicted signal-to-quantization-noise ratio in dB; nil for a tensor without finite values.
  package func predictedSQNR(on parameters: QuantizationParameters) -> Double? { error(on: parameters)?.sqnr }
}
