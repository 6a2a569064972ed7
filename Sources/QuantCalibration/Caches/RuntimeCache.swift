import FoundationEssentials
import QuantCore

/// onnxruntime's `calibration_cache_path` JSON: the lowest and highest value of each tensor.
package struct RuntimeCache: Sendable, Equatable {
  package var ranges: [(name: String, range: ValueRange)]

  package init(ranges: [(name: String, range: ValueRange)]) { self.ranges = ranges }

  package static func == (left: RuntimeCache, right: RuntimeCache) -> Bool {
    left.ranges.elementsEqual(right.ranges) { $0.name == $1.name && $0.range == $1.range }
  }

  /// The method is given as min-max: the numbers are ranges, whatever they were derived by.
  package var text: String {
    func array(_ value: Float) -> String { #"{"CLS": "numpy.array", "dtype": "float32", "data": \#(value)}"# }
    let data = ranges.map { item in
      "\(Self.quoted(item.name)): {\"CLS\": \"TensorData\", \"lowest\": \(array(item.range.lower)), \"highest\": \(array(item.range.upper))}"
    }
    return #"{"CLS": "TensorsData", "data": {"# + data.joined(separator: ", ")
      + #"}, "calibration_method": {"CLS": "CalibrationMethod", "value": "CalibrationMethod.MinMax"}, "smooth_quant": false}"#
      + "\n"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  package init(parsing bytes: [UInt8], location: String) throws(DataError) {
    let document: Document
    do {
      document = try JSONDecoder().decode(Document.self, from: Data(bytes))
    } catch {
      throw DataError(.damaged, "is not a calibration cache of onnxruntime", at: location)
    }
    var ranges: [(name: String, range: ValueRange)] = []
    for (name, entry) in document.data.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      let range = ValueRange(entry.lowest.value, entry.highest.value)
      guard range.lower.isFinite, range.upper.isFinite, range.lower <= range.upper else {
        throw DataError(.damaged, "the range of '\(name)' is \(range.lower) … \(range.upper)", at: location)
      }
      ranges.append((name, range))
    }
    self.init(ranges: ranges)
  }

  private struct Document: Decodable {
    var data: [String: Entry]
  }

  private struct Entry: Decodable {
    var lowest: Number
    var highest: Number
  }

  /// A plain number, a list of one, or an array object that holds either.
  private struct Number: Decodable {
    var value: Float

    private enum Keys: String, CodingKey { case data }

    init(from decoder: any Decoder) throws {
      if let object = try? decoder.container(keyedBy: Keys.self),
        let inner = try? object.decode(Number.self, forKey: .data)
      {
        value = inner.value
      } else if let list = try? decoder.singleValueContainer().decode([Float].self), list.count == 1 {
        value = list[0]
      } else {
        value = try decoder.singleValueContainer().decode(Float.self)
      }
    }
  }
}
