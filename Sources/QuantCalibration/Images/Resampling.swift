/// Bilinear resampling with antialiasing, equal to the bit to Pillow's `Image.resize(size, BILINEAR)`.
///
/// Shrinking widens the triangle filter to the scale. Weights are 22-bit fixed point, and there are 8 bits between the
/// two passes; an axis that keeps its size is left alone. Rows are resampled first, unless columns shrink by more than
/// twice as many pixels as rows do: that order is part of the result.
extension Picture {
  package func resized(width: Int, height: Int) -> Picture {
    if height < self.height && self.height - height > 2 * (self.width - width) {
      let columns = resampledColumns(Filter(from: self.height, to: height))
      return width == self.width ? columns : columns.resampledRows(Filter(from: self.width, to: width))
    }
    var result = self
    if width != self.width { result = result.resampledRows(Filter(from: self.width, to: width)) }
    if height != self.height { result = result.resampledColumns(Filter(from: self.height, to: height)) }
    return result
  }

  private func resampledRows(_ filter: Filter) -> Picture {
    let size = filter.windows.count
    var result = [UInt8](repeating: 0, count: size * height * channels)
    pixels.withUnsafeBufferPointer { source in
      result.withUnsafeMutableBufferPointer { target in
        for row in 0..<height {
          for (column, window) in filter.windows.enumerated() {
            for channel in 0..<channels {
              var sum: Int32 = 1 << (Filter.precision - 1)
              var offset = (row * width + window.start) * channels + channel
              for weight in filter.weights[window.weights] {
                sum &+= weight &* Int32(source[offset])
                offset += channels
              }
              target[(row * size + column) * channels + channel] = Filter.clamp(sum)
            }
          }
        }
      }
    }
    return Picture(width: size, height: height, channels: channels, pixels: result)
  }

  private func resampledColumns(_ filter: Filter) -> Picture {
    let size = filter.windows.count
    let stride = width * channels
    var result = [UInt8](repeating: 0, count: size * stride)
    var sums = [Int32](repeating: 0, count: stride)
    pixels.withUnsafeBufferPointer { source in
      for (row, window) in filter.windows.enumerated() {
        for index in 0..<stride { sums[index] = 1 << (Filter.precision - 1) }
        var offset = window.start * stride
        for weight in filter.weights[window.weights] {
          for index in 0..<stride { sums[index] &+= weight &* Int32(source[offset + index]) }
          offset += stride
        }
        for index in 0..<stride { result[row * stride + index] = Filter.clamp(sums[index]) }
      }
    }
    return Picture(width: width, height: size, channels: channels, pixels: result)
  }
}

/// For each output position: where its inputs begin and their weights.
private struct Filter {
  struct Window {
    var start: Int
    var weights: Range<Int>
  }

  static let precision: Int32 = 22
  private(set) var windows: [Window] = []
  private(set) var weights: [Int32] = []

  init(from size: Int, to target: Int) {
    let scale = Double(size) / Double(target)
    let support = max(scale, 1)
    let inverse = 1 / support
    for position in 0..<target {
      let centre = (Double(position) + 0.5) * scale
      let start = max(0, Int(centre - support + 0.5))
      let end = min(size, Int(centre + support + 0.5))
      var triangle: [Double] = []
      var sum = 0.0
      for index in start..<end {
        let weight = max(0, 1 - abs((Double(index) - centre + 0.5) * inverse))
        triangle.append(weight)
        sum += weight
      }
      let first = weights.count
      for weight in triangle {
        let normalized = sum == 0 ? weight : weight / sum
        // Weights of a triangle are not negative, so adding a half and cutting off rounds.
        weights.append(Int32(0.5 + normalized * Double(1 << Self.precision)))
      }
      windows.append(Window(start: start, weights: first..<weights.count))
    }
  }

  static func clamp(_ sum: Int32) -> UInt8 { UInt8(max(0, min(255, sum >> precision))) }
}
