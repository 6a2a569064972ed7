import ONNXFormat
import QuantCore

/// TensorRT's calibration cache: a header line, then `name: hhhhhhhh`, in hexadecimal the bits of the float32 scale max|r| / 127.
package struct TensorRTCache: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var name: String
    /// 0 for a tensor without a range.
    package var scale: Float

    package init(name: String, scale: Float) {
      self.name = name
      self.scale = scale
    }
  }

  /// As in the header: 8501 is 8.5.1, 100300 is 10.3.0.
  package var version = "8501"
  package var algorithm = "EntropyCalibration2"
  package var entries: [Entry]
  /// What was odd about a file that was read.
  package private(set) var warnings: [String] = []

  package init(entries: [Entry]) { self.entries = entries }

  /// From ranges; the larger magnitude counts, as the format is symmetric.
  package init(ranges: [(name: String, range: ValueRange)]) {
    entries = ranges.map { Entry(name: $0.name, scale: $0.range.largestMagnitude / 127) }
  }

  package init(path: String) throws(DataError) {
    let file = try mapFile(path)
    try self.init(parsing: String(decoding: file.bytes, as: UTF8.self), location: path)
  }

  /// - Throws: for scales that are negative, NaN or infinite, and lines that are none.
  package init(parsing text: String, location: String = "calibration cache") throws(DataError) {
    entries = []
    var hasHeader = false
    for (index, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let line = String(raw.reversed().drop { $0.isWhitespace }.reversed())
      if line.isEmpty { continue }
      if index == 0, line.hasPrefix("TRT-") {
        hasHeader = true
        let parts = line.split(separator: "-", maxSplits: 2)
        if parts.count == 3 { (version, algorithm) = (String(parts[1]), String(parts[2])) }
        continue
      }
      // Names may hold ": " themselves.
      let characters = Array(line.utf8)
      let colon = characters.indices.dropLast().last {
        characters[$0] == UInt8(ascii: ":") && characters[$0 + 1] == UInt8(ascii: " ")
      }
      let hex = colon.map { String(decoding: characters[($0 + 2)...], as: UTF8.self) } ?? ""
      guard let colon, hex.utf8.count == 8, let bits = UInt32(hex, radix: 16) else {
        if index == 0 { continue }
        throw DataError(
          .damaged, "line \(index + 1) is not 'name: ' and 8 hexadecimal digits: \(line.prefix(60))", at: location)
      }
      let name = String(decoding: characters[..<colon], as: UTF8.self)
      let scale = Float(bitPattern: bits)
      guard scale.isFinite, scale >= 0 else {
        throw DataError(.damaged, "the scale of '\(name)' is \(scale)", at: location)
      }
      if scale == 0 { warnings.append("'\(name)' has scale 0, which stands for no range") }
      entries.append(Entry(name: name, scale: scale))
    }
    if !hasHeader { warnings.append("there is no header line TRT-<version>-<algorithm>") }
    if entries.isEmpty { throw DataError(.damaged, "holds no ranges", at: location) }
  }

  /// The ranges of the tensors that have one.
  package var ranges: [String: ValueRange] {
    var result: [String: ValueRange] = [:]
    for entry in entries where entry.scale > 0 {
      result[entry.name] = ValueRange(-entry.scale * 127, entry.scale * 127)
    }
    return result
  }

  package var text: String {
    var lines = ["TRT-\(version)-\(algorithm)"]
    for entry in entries {
      let digits = String(entry.scale.bitPattern, radix: 16)
      lines.append("\(entry.name): \(String(repeating: "0", count: 8 - digits.count))\(digits)")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
