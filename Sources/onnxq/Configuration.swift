import FoundationEssentials
import ONNXQuantizer
import Yams

/// `onnxq.yaml`: what a folder's commands use where a flag does not say otherwise. Relative paths are as typed there.
struct Configuration: Decodable {
  struct Verify: Decodable {
    var labels: String?
    var reference: String?
    var minSqnr: Double?
    var minCosine: Double?
    var minAgreement: Double?
    var maxDrop: Double?

    enum CodingKeys: String, CodingKey, CaseIterable {
      case labels, reference
      case minSqnr = "min-sqnr"
      case minCosine = "min-cosine"
      case minAgreement = "min-agreement"
      case maxDrop = "max-drop"
    }
  }

  var model: String?
  var data: String?
  var verifyData: String?
  var target: String?
  var method: String?
  var preset: String?
  var verify: Verify?

  enum CodingKeys: String, CodingKey, CaseIterable {
    case model, data, target, method, preset, verify
    case verifyData = "verify-data"
  }

  static let empty = Configuration()

  private init() {}

  init(from decoder: any Decoder) throws {
    let unknown = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
      .filter { CodingKeys(stringValue: $0) == nil }
    if let first = unknown.sorted().first {
      let known = CodingKeys.allCases.map(\.rawValue).sorted().joined(separator: ", ")
      throw QuantizerError(.badInput, "unknown key '\(first)'; the keys are \(known)")
    }
    let values = try decoder.container(keyedBy: CodingKeys.self)
    model = try values.decodeIfPresent(String.self, forKey: .model)
    data = try values.decodeIfPresent(String.self, forKey: .data)
    verifyData = try values.decodeIfPresent(String.self, forKey: .verifyData)
    target = try values.decodeIfPresent(String.self, forKey: .target)
    method = try values.decodeIfPresent(String.self, forKey: .method)
    preset = try values.decodeIfPresent(String.self, forKey: .preset)
    verify = try values.decodeIfPresent(Verify.self, forKey: .verify)
  }

  /// The file given, else `onnxq.yaml` in the folder, else nothing.
  static func load(_ given: String?) throws -> Configuration {
    guard let path = given ?? (ModelLocator.exists("onnxq.yaml") ? "onnxq.yaml" : nil) else { return .empty }
    guard let data = FileManager.default.contents(atPath: path), data.count < 1 << 20 else {
      throw QuantizerError(.badInput, "\(path): cannot be read as settings (missing, or above 1 MiB)")
    }
    let text = String(decoding: data, as: UTF8.self)
    if text.allSatisfy(\.isWhitespace) { return .empty }
    do {
      return try YAMLDecoder().decode(Configuration.self, from: text)
    } catch let error as QuantizerError {
      throw QuantizerError(.badInput, "\(path): \(error.message)")
    } catch {
      throw QuantizerError(.badInput, "\(path): \(error)")
    }
  }

  private struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}
