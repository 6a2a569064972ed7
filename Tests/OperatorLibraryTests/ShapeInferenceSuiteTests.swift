import FoundationEssentials
import ONNXFormat
import ONNXGraph
import OperatorLibrary
import TestSupport
import Testing

/// Every value of every node test of the onnx package: what we infer is what onnx.shape_inference infers, or more precise, and
/// agrees with the output that the case declares.
@Suite struct ShapeInferenceSuiteTests {
  @Test func noLessPreciseThanONNX() throws {
    guard let suite = TestFiles.nodeSuite else { return }
    var lines: [Substring: [[Substring]]] = [:]
    for line in try String(contentsOfFile: suite + "/types.txt", encoding: .utf8).split(separator: "\n") {
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
      lines[fields[0], default: []].append(Array(fields[1...]))
    }
    #expect(lines.count > 1500)
    var known = Set(try KnownInferenceGaps.read())
    var compared = 0
    for (name, values) in lines.sorted(by: { $0.key < $1.key }) {
      let model = try ModelDecoder.load(path: "\(suite)/node/\(name)/model.onnx")
      // Declarations of outputs would answer for inference.
      for node in model.graph.nodes { for output in node.outputs { output?.type = nil } }
      var inferred: [String: ValueType] = [:]
      var failure: String?
      do {
        let inference = try GraphInference(model)
        for value in model.graph.values { inferred[value.name] = inference.type(of: value) }
      } catch {
        failure = "\(error)"
      }
      var faults: [String] = []
      for value in values {
        compared += 1
        let own = TextPrinter.text(inferred[String(value[0])])
        let (other, declared) = (String(value[1]), String(value[2]))
        if !TypeText.refines(own, other) { faults.append("\(value[0]): '\(own)', onnx infers '\(other)'") }
        if !declared.isEmpty, !TypeText.agrees(own, declared) {
          faults.append("\(value[0]): '\(own)', the case declares '\(declared)'")
        }
      }
      let isKnown = known.remove(String(name)) != nil
      let report = "\(name): \(failure ?? ""); \(faults.joined(separator: "; "))"
      #expect((failure != nil || !faults.isEmpty) == isKnown, "\(report)")
    }
    #expect(known.isEmpty, "listed, but not in the suite: \(known.sorted())")
    print("shape inference: \(compared) values of \(lines.count) node tests")
  }
}

/// Cases of which the inferred types are known to be less precise, each with its reason.
private enum KnownInferenceGaps {
  static func read() throws -> [String] {
    let path = TestFiles.root + "/Tests/OperatorLibraryTests/known_inference_gaps.txt"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").map { String($0.prefix { $0 != ":" }) }
  }
}

/// Types as ONNX's textual syntax spells them.
private enum TypeText {
  /// Whether `own` says all that `other` says.
  static func refines(_ own: String, _ other: String) -> Bool { compare(own, other) { $1 == "?" || $0 == $1 } }

  /// Whether nothing in `own` contradicts `other`.
  static func agrees(_ own: String, _ other: String) -> Bool {
    own.isEmpty || own.hasSuffix("[]") || own.hasSuffix("[])")
      || compare(own, other) { $0 == "?" || $1 == "?" || $0 == $1 }
  }

  private static func compare(_ own: String, _ other: String, _ extents: (Substring, Substring) -> Bool) -> Bool {
    if own == other { return true }
    for wrapper in ["seq(", "optional("] where own.hasPrefix(wrapper) && other.hasPrefix(wrapper) {
      return compare(
        String(own.dropFirst(wrapper.count).dropLast()), String(other.dropFirst(wrapper.count).dropLast()), extents)
    }
    let (a, b) = (parts(own), parts(other))
    guard a.name == b.name else { return false }
    guard let wanted = b.extents else { return true }
    guard let given = a.extents, given.count == wanted.count else { return false }
    return zip(given, wanted).allSatisfy { isParameter($1) || extents($0, $1) }
  }

  private static func isParameter(_ extent: Substring) -> Bool { Int(extent) == nil && extent != "?" }

  /// Extents are nil where the rank is unknown, which is spelled "[]"; a scalar has no brackets.
  private static func parts(_ text: String) -> (name: Substring, extents: [Substring]?) {
    guard let open = text.firstIndex(of: "[") else { return (text[...], []) }
    let inner = text[text.index(after: open)...].dropLast()
    return (text[..<open], inner.isEmpty ? nil : inner.split(separator: ","))
  }
}
