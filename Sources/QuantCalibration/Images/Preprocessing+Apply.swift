import ONNXTensor

extension Preprocessing {
  /// What the model's input wants of a picture.
  struct Target: Equatable {
    var isChannelsFirst: Bool
    var channels: Int
    /// nil where the model leaves it open.
    var width: Int?
    var height: Int?
    /// Axes in front of the picture's three, all of extent 1.
    var leadingAxes: Int
  }

  /// How `input` takes a picture under these settings.
  func target(_ input: InputDescription) throws(DataError) -> Target {
    func misfit(_ message: String) -> DataError {
      DataError(
        .mismatch, "input '\(input.name)' \(input.typeText) \(message)",
        advice: "give --layout nchw or nhwc, or data that are not pictures")
    }
    guard let shape = input.shape, shape.count == 4 || shape.count == 3 else { throw misfit("does not take pictures") }
    let picture = Array(shape.suffix(3))
    func takes(_ extent: Int?) -> Bool { extent == 1 || extent == 3 }
    let isChannelsFirst: Bool
    switch layout {
    case .nchw: isChannelsFirst = true
    case .nhwc: isChannelsFirst = false
    case .automatic:
      switch (takes(picture[0]), takes(picture[2])) {
      case (true, false): isChannelsFirst = true
      case (false, true): isChannelsFirst = false
      // An extent of 3 tells more than one of 1.
      case (true, true) where picture[0] != picture[2]: isChannelsFirst = picture[0] == 3
      default: throw misfit("does not say where the channels of a picture go")
      }
    }
    let declared = isChannelsFirst ? picture[0] : picture[2]
    let wanted: Int
    switch channels {
    case .grey: wanted = 1
    case .rgb, .bgr: wanted = 3
    case .automatic: wanted = declared ?? 3
    }
    guard wanted == 1 || wanted == 3, declared == nil || declared == wanted else {
      throw misfit("has \(declared ?? 0) channels, pictures here have \(wanted)")
    }
    return Target(
      isChannelsFirst: isChannelsFirst, channels: wanted, width: isChannelsFirst ? picture[2] : picture[1],
      height: isChannelsFirst ? picture[1] : picture[0], leadingAxes: shape.count - 3)
  }

  /// Resized, cropped, with the channels that `target` wants, in the order red, green, blue.
  func picture(_ source: Picture, for target: Target) -> Picture {
    var result = source.converted(toChannels: target.channels)
    switch resize {
    case .none: break
    case .shortSide(let side):
      let short = min(result.width, result.height)
      result = result.resized(
        width: max(1, result.width == short ? side : side * result.width / short),
        height: max(1, result.height == short ? side : side * result.height / short))
    case .exact(let width, let height): result = result.resized(width: width, height: height)
    case .letterbox(let size):
      let box = size ?? Size(width: target.width ?? result.width, height: target.height ?? result.height)
      let ratio = min(Double(box.width) / Double(result.width), Double(box.height) / Double(result.height))
      result = result.resized(
        width: min(box.width, max(1, Int(Double(result.width) * ratio))),
        height: min(box.height, max(1, Int(Double(result.height) * ratio))))
      let left = placement == .topLeft ? 0 : (box.width - result.width) / 2
      let top = placement == .topLeft ? 0 : (box.height - result.height) / 2
      result = result.cropped(left: -left, top: -top, width: box.width, height: box.height, fill: padValue)
    }
    if let crop {
      // Half to even, as the usual centre crop rounds.
      let left = Int((Double(result.width - crop.width) / 2).rounded(.toNearestOrEven))
      let top = Int((Double(result.height - crop.height) / 2).rounded(.toNearestOrEven))
      result = result.cropped(left: left, top: top, width: crop.width, height: crop.height)
    }
    return result
  }

  /// The input tensor: one sample, float32 (or the picture's bytes where the input is uint8 and nothing is scaled).
  func tensor(_ source: Picture, for input: InputDescription, location: String) throws(DataError) -> Tensor {
    let target = try target(input)
    let picture = picture(source, for: target)
    guard picture.width == target.width ?? picture.width, picture.height == target.height ?? picture.height else {
      throw DataError(
        .mismatch,
        "is \(picture.width)x\(picture.height) pixels after preprocessing, input '\(input.name)' takes "
          + "\(target.width ?? picture.width)x\(target.height ?? picture.height)",
        at: location, advice: "set --resize or --crop")
    }
    let count = target.channels
    guard mean.count == 1 || mean.count == count, std.count == 1 || std.count == count else {
      throw DataError(.option, "mean and std have \(mean.count) and \(std.count) values for \(count) channels")
    }
    let extents =
      target.isChannelsFirst ? [count, picture.height, picture.width] : [picture.height, picture.width, count]
    let shape = Array(repeating: 1, count: target.leadingAxes) + extents
    // Channel c of the tensor is channel `order[c]` of the picture.
    let order = channels == .bgr && count == 3 ? [2, 1, 0] : Array(0..<count)
    switch input.elementType ?? .float32 {
    case .uint8 where isIdentity:
      return Tensor(of: UInt8.self, shape: shape) { arrange(picture, order, target, into: $0) { _, value in value } }
    case .int8:
      let tables = (0..<count).map { channel in (0...255).map { value(UInt8($0), channel: channel) } }
      guard tables.allSatisfy({ $0.allSatisfy { $0 == $0.rounded() && -128 <= $0 && $0 <= 127 } }) else {
        throw DataError(
          .mismatch, "input '\(input.name)' is int8, and scaled pixels are not all integers from -128 to 127",
          at: location, advice: "set --mean 128 to take pixels minus 128")
      }
      return Tensor(of: Int8.self, shape: shape) {
        arrange(picture, order, target, into: $0) { Int8(tables[$0][Int($1)]) }
      }
    case .float32, .float16, .float64:
      let tables = (0..<count).map { channel in (0...255).map { value(UInt8($0), channel: channel) } }
      let tensor = Tensor(of: Float.self, shape: shape) {
        arrange(picture, order, target, into: $0) { tables[$0][Int($1)] }
      }
      return try tensor.converted(to: input, location: location)
    default:
      throw DataError(
        .mismatch,
        "input '\(input.name)' is \(input.typeText); pictures become float tensors, or uint8 with preset raw",
        at: location)
    }
  }

  private var isIdentity: Bool {
    (scale == .multiply(1) || scale == .divide(1)) && mean.allSatisfy { $0 == 0 } && std.allSatisfy { $0 == 1 }
  }

  private func value(_ pixel: UInt8, channel: Int) -> Float {
    let scaled =
      switch scale {
      case .multiply(let factor): Float(pixel) * factor
      case .divide(let divisor): Float(pixel) / divisor
      }
    return (scaled - mean[mean.count == 1 ? 0 : channel]) / std[std.count == 1 ? 0 : channel]
  }

  private func arrange<T>(
    _ picture: Picture, _ order: [Int], _ target: Target, into elements: UnsafeMutableBufferPointer<T>,
    _ value: (_ channel: Int, _ pixel: UInt8) -> T
  ) {
    let count = order.count
    let plane = picture.width * picture.height
    for (channel, source) in order.enumerated() {
      for pixel in 0..<plane {
        elements[target.isChannelsFirst ? channel * plane + pixel : pixel * count + channel] = value(
          channel, picture.pixels[pixel * count + source])
      }
    }
  }
}
