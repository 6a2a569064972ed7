import CJPEG

/// JPEG through TurboJPEG, with the exact inverse transform and smooth chroma, as other readers' defaults are.
enum JPEGDecoder {
  static func decode(_ bytes: UnsafeRawBufferPointer, location: String) throws(DataError) -> Picture {
    guard let handle = tjInitDecompress() else {
      throw DataError(.file, "no JPEG decoder: out of memory", at: location)
    }
    defer { tjDestroy(handle) }
    let source = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    var (width, height, subsampling, colorspace) = (Int32(0), Int32(0), Int32(0), Int32(0))
    guard
      tjDecompressHeader3(handle, source, UInt(bytes.count), &width, &height, &subsampling, &colorspace) == 0,
      width > 0, height > 0
    else { throw fault(handle, location) }
    guard Int(width) * Int(height) <= Picture.largestPixelCount else {
      throw DataError(.damaged, "is a picture of \(width)x\(height) pixels, too large to decode", at: location)
    }
    let isGrey = colorspace == Int32(TJCS_GRAY.rawValue)
    let isFourColor = colorspace == Int32(TJCS_CMYK.rawValue) || colorspace == Int32(TJCS_YCCK.rawValue)
    let channels = isGrey ? 1 : isFourColor ? 4 : 3
    let format = isGrey ? TJPF_GRAY : isFourColor ? TJPF_CMYK : TJPF_RGB
    var pixels = [UInt8](repeating: 0, count: Int(width) * Int(height) * channels)
    let code = pixels.withUnsafeMutableBufferPointer {
      tjDecompress2(
        handle, source, UInt(bytes.count), $0.baseAddress, width, 0, height, format.rawValue, TJFLAG_ACCURATEDCT)
    }
    // A picture that ends early decodes to grey rows with a warning; that is not the user's data.
    guard code == 0 else { throw fault(handle, location) }
    if isFourColor { pixels = rgb(ofInverted: pixels) }
    return Picture(width: Int(width), height: Int(height), channels: isGrey ? 1 : 3, pixels: pixels)
  }

  private static func fault(_ handle: tjhandle, _ location: String) -> DataError {
    let reason = tjGetErrorStr2(handle).map { String(cString: $0) } ?? "unknown fault"
    return DataError(.damaged, "is a damaged JPEG picture (\(reason))", at: location)
  }

  /// RGB of inverted CMYK, the only kind that is met in files.
  private static func rgb(ofInverted pixels: [UInt8]) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: pixels.count / 4 * 3)
    for pixel in 0..<pixels.count / 4 {
      let black = Int(pixels[4 * pixel + 3])
      for channel in 0..<3 {
        let product = (255 - Int(pixels[4 * pixel + channel])) * black + 128
        result[3 * pixel + channel] = UInt8(max(0, black - ((product >> 8) + product) >> 8))
      }
    }
    return result
  }
}
