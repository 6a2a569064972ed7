/// A decoded picture: 8 bits per channel, rows from the top, channels interleaved. One channel is grey, three are RGB.
package struct Picture: Sendable, Equatable {
  package var width: Int
  package var height: Int
  package var channels: Int
  package var pixels: [UInt8]

  package init(width: Int, height: Int, channels: Int, pixels: [UInt8]) {
    precondition(pixels.count == width * height * channels, "\(pixels.count) bytes for \(width)x\(height)x\(channels)")
    self.width = width
    self.height = height
    self.channels = channels
    self.pixels = pixels
  }

  /// The picture with one or three channels. Grey is (19595 R + 38470 G + 7471 B) / 65536, rounded, as ITU-R 601 weighs.
  package func converted(toChannels wanted: Int) -> Picture {
    if wanted == channels { return self }
    var result = [UInt8](repeating: 0, count: width * height * wanted)
    if wanted == 3 {
      for pixel in 0..<width * height { for channel in 0..<3 { result[pixel * 3 + channel] = pixels[pixel] } }
    } else {
      for pixel in 0..<width * height {
        let (red, green, blue) = (Int(pixels[3 * pixel]), Int(pixels[3 * pixel + 1]), Int(pixels[3 * pixel + 2]))
        result[pixel] = UInt8((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)
      }
    }
    return Picture(width: width, height: height, channels: wanted, pixels: result)
  }

  /// The part of `width` by `height` pixels whose top left corner is at (`left`, `top`); outside the picture it is `fill`.
  package func cropped(left: Int, top: Int, width: Int, height: Int, fill: UInt8 = 0) -> Picture {
    var result = [UInt8](repeating: fill, count: width * height * channels)
    let columns = max(0, left)..<max(max(0, left), min(self.width, left + width))
    for row in max(0, top)..<max(max(0, top), min(self.height, top + height)) where !columns.isEmpty {
      let source = (row * self.width + columns.lowerBound) * channels
      let target = ((row - top) * width + columns.lowerBound - left) * channels
      result.replaceSubrange(
        target..<target + columns.count * channels, with: pixels[source..<source + columns.count * channels])
    }
    return Picture(width: width, height: height, channels: channels, pixels: result)
  }
}

extension Picture {
  /// Pictures of more pixels are refused.
  static let largestPixelCount = 1 << 28

  /// Decodes a JPEG or PNG file by its content.
  package init(contentsOf path: String) throws(DataError) {
    let file = try mapFile(path)
    let bytes = file.bytes
    defer { withExtendedLifetime(file) {} }
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      self = try JPEGDecoder.decode(bytes, location: path)
    } else if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) {
      self = try PNGDecoder.decode(bytes, location: path)
    } else {
      throw DataError(.damaged, bytes.isEmpty ? "is empty" : "is neither a JPEG nor a PNG picture", at: path)
    }
  }
}
