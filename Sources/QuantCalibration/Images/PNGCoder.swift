import CPNG

/// PNG through libpng's simplified interface; transparency is dropped, 16 bits become 8.
enum PNGDecoder {
  static func decode(_ bytes: UnsafeRawBufferPointer, location: String) throws(DataError) -> Picture {
    let plain = withoutColorManagement(bytes)
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    defer { png_image_free(&image) }
    let opened = plain.withUnsafeBytes { png_image_begin_read_from_memory(&image, $0.baseAddress, $0.count) }
    guard opened != 0 else { throw fault(image, location) }
    let (width, height) = (Int(image.width), Int(image.height))
    guard width > 0, height > 0, width <= Picture.largestPixelCount / height else {
      throw DataError(.damaged, "is a picture of \(width)x\(height) pixels, too large to decode", at: location)
    }
    let isGrey = image.format & UInt32(PNG_FORMAT_FLAG_COLOR) == 0
    let stored = isGrey ? 2 : 4
    image.format = UInt32(PNG_FORMAT_FLAG_ALPHA) | (isGrey ? 0 : UInt32(PNG_FORMAT_FLAG_COLOR))
    var pixels = [UInt8](repeating: 0, count: width * height * stored)
    let done = plain.withUnsafeBytes { _ in
      pixels.withUnsafeMutableBytes { png_image_finish_read(&image, nil, $0.baseAddress, Int32(width * stored), nil) }
    }
    guard done != 0 else { throw fault(image, location) }
    let channels = stored - 1
    var result = [UInt8](repeating: 0, count: width * height * channels)
    for pixel in 0..<width * height {
      for channel in 0..<channels { result[pixel * channels + channel] = pixels[pixel * stored + channel] }
    }
    return Picture(width: width, height: height, channels: channels, pixels: result)
  }

  private static func fault(_ image: png_image, _ location: String) -> DataError {
    let reason = withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return DataError(.damaged, "is a damaged PNG picture (\(reason))", at: location)
  }

  /// The file without the chunks that would make libpng convert sample values.
  private static func withoutColorManagement(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var result = [UInt8](bytes.prefix(8))
    var offset = 8
    while offset + 12 <= bytes.count {
      let length = (0..<4).reduce(0) { $0 << 8 | Int(bytes[offset + $1]) }
      let end = offset + 12 + length
      guard end <= bytes.count else { break }
      let type = String(decoding: bytes[offset + 4..<offset + 8], as: UTF8.self)
      if !["gAMA", "cHRM", "sRGB", "iCCP"].contains(type) { result.append(contentsOf: bytes[offset..<end]) }
      offset = end
    }
    // What is left is cut off; libpng says so.
    if offset < bytes.count { result.append(contentsOf: bytes[offset...]) }
    return result
  }
}

/// Writes pictures for people to look at.
package enum PNGEncoder {
  package static func encode(_ picture: Picture) throws(DataError) -> [UInt8] {
    var image = png_image()
    image.version = UInt32(PNG_IMAGE_VERSION)
    image.width = UInt32(picture.width)
    image.height = UInt32(picture.height)
    image.format = picture.channels == 1 ? 0 : UInt32(PNG_FORMAT_FLAG_COLOR)
    defer { png_image_free(&image) }
    let row = Int32(picture.width * picture.channels)
    var size = 0
    guard
      picture.pixels.withUnsafeBytes({ png_image_write_to_memory(&image, nil, &size, 0, $0.baseAddress, row, nil) })
        != 0
    else { throw DataError(.option, "a picture of \(picture.width)x\(picture.height) cannot be written as PNG") }
    var result = [UInt8](repeating: 0, count: size)
    let written = result.withUnsafeMutableBytes { target in
      picture.pixels.withUnsafeBytes {
        png_image_write_to_memory(&image, target.baseAddress, &size, 0, $0.baseAddress, row, nil)
      }
    }
    guard written != 0 else { throw DataError(.file, "a picture cannot be written as PNG") }
    return Array(result[..<size])
  }
}
