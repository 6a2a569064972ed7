import FoundationEssentials
import ONNXQuantizer

/// JSON documents: sorted keys, two spaces, numbers that are not finite as strings.
enum JSON {
  static func print(_ document: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      Terminal.out(String(decoding: try encoder.encode(document), as: UTF8.self))
    } catch {
      throw QuantizerError(.internalError, "the result cannot be written as JSON: \(error)")
    }
  }
}
