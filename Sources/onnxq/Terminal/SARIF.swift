import ONNXQuantizer

/// Findings as a SARIF 2.1.0 log, for code-scanning services.
struct SARIF: Encodable {
  struct Message: Encodable { let text: String }
  struct Configuration: Encodable { let level: String }
  struct Rule: Encodable {
    let id: String
    let shortDescription: Message
    let help: Message
    let defaultConfiguration: Configuration
  }
  struct Driver: Encodable {
    let name = "onnxq"
    let version: String
    let rules: [Rule]
  }
  struct Tool: Encodable { let driver: Driver }
  struct Artifact: Encodable { let uri: String }
  struct PhysicalLocation: Encodable { let artifactLocation: Artifact }
  struct LogicalLocation: Encodable {
    let name: String
    let kind: String
  }
  struct Location: Encodable {
    let physicalLocation: PhysicalLocation
    let logicalLocations: [LogicalLocation]
  }
  struct Result: Encodable {
    let ruleId: String
    let ruleIndex: Int
    let level: String
    let message: Message
    let locations: [Location]
  }
  struct Run: Encodable {
    let tool: Tool
    let results: [Result]
  }

  let schema = "https://json.schemastore.org/sarif-2.1.0.json"
  let version = "2.1.0"
  let runs: [Run]

  enum CodingKeys: String, CodingKey {
    case schema = "$schema"
    case version, runs
  }

  init(_ result: LintResult) {
    func level(_ severity: LintResult.Severity) -> String { severity == .info ? "note" : severity.rawValue }
    let rules = LintResult.rules
    let uri = Self.uri(result.model)
    runs = [
      Run(
        tool: Tool(
          driver: Driver(
            version: Quantizer.version,
            rules: rules.map {
              Rule(
                id: $0.id, shortDescription: Message(text: $0.sentence), help: Message(text: $0.fix),
                defaultConfiguration: Configuration(level: level($0.severity)))
            })),
        results: result.findings.map { finding in
          var places: [LogicalLocation] = []
          if let node = finding.node { places.append(LogicalLocation(name: node, kind: "function")) }
          if let tensor = finding.tensor { places.append(LogicalLocation(name: tensor, kind: "variable")) }
          return Result(
            ruleId: finding.rule, ruleIndex: rules.firstIndex { $0.id == finding.rule } ?? -1,
            level: level(finding.severity), message: Message(text: "\(finding.message). Fix: \(finding.fix)."),
            locations: [
              Location(
                physicalLocation: PhysicalLocation(artifactLocation: Artifact(uri: uri)), logicalLocations: places)
            ])
        })
    ]
  }

  /// The path as a relative or `file` URI reference.
  private static func uri(_ path: String) -> String {
    var text = path.hasPrefix("/") ? "file://" : ""
    for byte in path.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."), UInt8(ascii: "-"),
        UInt8(ascii: "_"), UInt8(ascii: "~"):
        text.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = Array("0123456789ABCDEF")
        text += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
      }
    }
    return text
  }
}
