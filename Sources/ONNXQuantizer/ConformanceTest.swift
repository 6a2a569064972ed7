import FloatExecution
import FloatKernels
import FoundationEssentials
import ONNXFormat
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// Runs ONNX test cases: folders that hold a model and `test_data_set_N` folders of inputs and expected outputs.
public struct ConformanceTest {
  /// How a case ended.
  public enum Status: String, Sendable, Codable {
    case passed, failed, skipped
  }

  /// One test case and its outcome.
  public struct Case: Sendable, Codable {
    /// The name of its folder.
    public var name: String
    /// How it ended.
    public var status: Status
    /// Why it did not pass; nil when it did.
    public var reason: String?

    /// An outcome; `reason` belongs to cases that did not pass.
    public init(name: String, status: Status, reason: String? = nil) {
      self.name = name
      self.status = status
      self.reason = reason
    }
  }

  /// Tolerances used where the case brings none of its own (`config.txt`, `data.json`); those of the ONNX backend tests.
  public var relativeTolerance = 1e-3
  /// Largest difference, besides the relative one, that passes.
  public var absoluteTolerance = 1e-7
  /// Given explicitly, they win over the case's own.
  public var overridesTolerances = false
  /// Number of threads; nil for one.
  public var threads: Int?

  /// The tolerances of the ONNX backend tests, one thread.
  public init() {}

  /// Test cases under `path`, in order of their names: the folder itself if it is a case, else those inside it.
  ///
  /// - Throws: `QuantizerError` of kind `badInput` when there are none.
  public func find(in path: String) throws(QuantizerError) -> [String] {
    if isCase(path) { return [path] }
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
      throw QuantizerError(.badInput, "\(path): no such folder")
    }
    let cases = names.sorted().map { path + "/" + $0 }.filter(isCase)
    if cases.isEmpty {
      throw QuantizerError(.badInput, "\(path): no test case here (a folder with model.onnx and test_data_set_0)")
    }
    return cases
  }

  private func isCase(_ path: String) -> Bool {
    let files = FileManager.default
    return files.fileExists(atPath: path + "/model.onnx") || files.fileExists(atPath: path + "/data.json")
  }

  /// Runs one case.
  public func run(_ path: String) -> Case {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    do {
      let settings = try settings(of: path)
      let model = try ModelDecoder.load(path: settings.model)
      let executor = try FloatExecutor(model: model, threads: ThreadPool(threads: threads ?? 1))
      let sets = try FileManager.default.contentsOfDirectory(atPath: settings.folder).sorted()
        .filter { $0.hasPrefix("test_data_set_") }
      if sets.isEmpty { return Case(name: name, status: .skipped, reason: "no test_data_set_N folder") }
      for set in sets {
        if let reason = try run(executor, folder: settings.folder + "/" + set, settings) {
          return Case(name: name, status: .failed, reason: sets.count > 1 ? "\(set): \(reason)" : reason)
        }
      }
      return Case(name: name, status: .passed, reason: nil)
    } catch {
      return Case(name: name, status: .failed, reason: "\(error)")
    }
  }

  private struct Settings {
    var model: String
    var folder: String
    var comparison: ValueComparison
  }

  private func settings(of path: String) throws -> Settings {
    var comparison = ValueComparison(relative: relativeTolerance, absolute: absoluteTolerance)
    var model = path + "/model.onnx"
    if let data = FileManager.default.contents(atPath: path + "/data.json") {
      struct Document: Decodable {
        var model: String?
        var rtol: Double?
        var atol: Double?
      }
      let document = try JSONDecoder().decode(Document.self, from: data)
      if let file = document.model { model = path + "/" + file }
      if !overridesTolerances {
        comparison.relative = document.rtol ?? comparison.relative
        comparison.absolute = document.atol ?? comparison.absolute
      }
    }
    if !overridesTolerances, let data = FileManager.default.contents(atPath: path + "/config.txt") {
      for line in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline) {
        let parts = line.split(separator: ":").map { $0.filter { !$0.isWhitespace } }
        guard parts.count == 2, let value = Double(parts[1]) else { continue }
        if parts[0] == "relative_per_sample_tolerance" { comparison.relative = value }
        if parts[0] == "per_sample_tolerance" { comparison.absolute = value }
      }
    }
    return Settings(model: model, folder: path, comparison: comparison)
  }

  private func run(_ executor: FloatExecutor, folder: String, _ settings: Settings) throws -> String? {
    let graph = executor.model.graph
    var inputs: [String: RuntimeValue] = [:]
    let given = graph.inputs.indices.filter { FileManager.default.fileExists(atPath: "\(folder)/input_\($0).pb") }
    // Files are numbered over the inputs that have no initializer, unless there are more of them.
    let required = graph.inputs.filter { graph.initializer(for: $0.value) == nil }
    let ports = given.allSatisfy { $0 < required.count } ? required : graph.inputs
    for index in given {
      let port = ports[index]
      inputs[port.value.name] = try ValueFile.load(path: "\(folder)/input_\(index).pb", kind: .init(port.info.type))
        .value
    }
    let outputs: [String: RuntimeValue] = try executor.run(inputs)
    let isRandom = graph.allGraphs.contains { $0.nodes.contains(where: OperatorCatalog.isRandom) }
    for (index, port) in graph.outputs.enumerated() {
      let file = "\(folder)/output_\(index).pb"
      guard FileManager.default.fileExists(atPath: file) else { continue }
      let expected = try ValueFile.load(path: file, kind: .init(port.info.type)).value
      guard let actual = outputs[port.value.name] else { return "output '\(port.value.name)' is missing" }
      let difference = isRandom ? randomDifference(expected, actual) : settings.comparison.difference(expected, actual)
      if let difference { return "output '\(port.value.name)': \(difference)" }
    }
    return nil
  }

  /// Random results agree in type and shape, and in mean and deviation as far as so few samples can tell.
  private func randomDifference(_ expected: RuntimeValue, _ actual: RuntimeValue) -> String? {
    guard let expected = expected.tensor, let actual = actual.tensor else { return "not a tensor" }
    if expected.elementType != actual.elementType || expected.shape != actual.shape {
      return "\(actual.elementType.name)\(actual.shape), expected \(expected.elementType.name)\(expected.shape)"
    }
    guard let left = expected.floats, let right = actual.floats, left.count >= 2 else { return nil }
    func moments(_ values: [Float]) -> (mean: Double, deviation: Double) {
      let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
      let square = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
      return (mean, (square / Double(values.count - 1)).squareRoot())
    }
    let (a, b) = (moments(left), moments(right))
    // Six standard errors of a difference of two means.
    let allowed = 6 * max(a.deviation, b.deviation, 1e-6) * (2 / Double(left.count)).squareRoot()
    return (a.mean - b.mean).magnitude > allowed
      ? "mean \(b.mean), expected about \(a.mean)" : nil
  }
}
