import ArgumentParser
import FoundationEssentials
import ONNXQuantizer

/// `onnxq test`: ONNX test cases through the executor.
struct Test: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs ONNX test cases: folders with a model and test_data_set_N folders of inputs and outputs.",
    discussion: """
      Examples:
        onnxq test node/test_add
        onnxq test node --known known-failures.txt --format json

      Each DIR is a case, or a folder of cases. A case brings its own tolerances in config.txt or data.json, as the \
      test runners of ONNX and ONNX Runtime write them; --rtol and --atol override them. The file of --known lists \
      cases that are expected to fail, one "name: reason" a line: they count as skipped, and a case that is listed \
      and passes is a failure. Exit code 1 when a case fails.
      """)

  @OptionGroup var common: CommonOptions

  @Argument(help: "Folders to look in.")
  var directories: [String]

  @Option(help: "Relative tolerance, instead of the case's own or 1e-3.")
  var rtol: Double?

  @Option(help: "Absolute tolerance, instead of the case's own or 1e-7.")
  var atol: Double?

  @Option(help: ArgumentHelp("Cases that are known to fail, with reasons.", valueName: "file"))
  var known: String?

  struct Document: Encodable {
    let schema = "onnxq.test/1"
    var passed = 0
    var failed = 0
    var skipped = 0
    var cases: [ConformanceTest.Case] = []
  }

  func run() throws {
    var runner = ConformanceTest()
    runner.threads = common.threads
    runner.overridesTolerances = rtol != nil || atol != nil
    if let rtol { runner.relativeTolerance = rtol }
    if let atol { runner.absoluteTolerance = atol }
    let expected = try knownFailures()
    let paths = try directories.flatMap { try runner.find(in: $0) }
    var document = Document()
    let progress = ProgressLine("test", quiet: common.quiet)
    for (index, path) in paths.enumerated() {
      progress.update(index, of: paths.count)
      var result = runner.run(path)
      if let reason = expected[result.name] {
        if result.status == .passed {
          result = .init(name: result.name, status: .failed, reason: "listed as a known failure, but it passes")
        } else {
          result = .init(name: result.name, status: .skipped, reason: reason)
        }
      }
      switch result.status {
      case .passed: document.passed += 1
      case .failed: document.failed += 1
      case .skipped: document.skipped += 1
      }
      document.cases.append(result)
    }
    progress.finish()
    switch common.format {
    case .json: try JSON.print(document)
    case .text:
      for result in document.cases where result.status != .passed {
        Terminal.out("\(result.status.rawValue)  \(result.name): \(result.reason ?? "")")
      }
      Terminal.out("\(document.passed) passed, \(document.failed) failed, \(document.skipped) skipped")
    }
    if document.failed > 0 { throw Shortfall(lines: ["\(document.failed) of \(paths.count) cases failed"]) }
  }

  private func knownFailures() throws -> [String: String] {
    guard let known else { return [:] }
    guard let data = FileManager.default.contents(atPath: known) else {
      throw QuantizerError(.badInput, "\(known): no such file")
    }
    var result: [String: String] = [:]
    for line in String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2, let name = parts.first, parts[1].contains(where: { !$0.isWhitespace }) else {
        throw QuantizerError(.badInput, "\(known): '\(line)' is not 'case: reason'")
      }
      result[String(name)] = String(parts[1].drop(while: \.isWhitespace))
    }
    return result
  }
}
