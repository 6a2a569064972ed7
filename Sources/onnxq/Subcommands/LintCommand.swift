import ArgumentParser
import ONNXQuantizer

/// `onnxq lint`: what a target will do with a model.
struct LintCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lint",
    abstract: "Says for every node of a Q/DQ model in what the target runs it, and what to change.",
    discussion: """
      Examples:
        onnxq lint model.qdq.onnx --target onnxruntime
        onnxq lint model.onnx --target tensorrt --fix -o model.fixed.onnx --format sarif

      Any tool's Q/DQ model will do. Ends with 1 where a finding is an error, or as bad as --fail-on says. --fix mends \
      what can be without changing a value that the model computes, and judges the result.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable { case text, json, sarif }
  enum Threshold: String, ExpressibleByArgument, CaseIterable { case error, warning, info }

  @Argument(help: "The model; without it onnxq.yaml's, else the only .onnx here.")
  var model: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The engine: \(Lint.targets.joined(separator: ", ")). Default: tensorrt.", valueName: "name"))
  var target: String?

  @Flag(help: "Write a model in which the safe fixes are made.")
  var fix = false

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where the fixed model goes; default MODEL.fixed.onnx, - is standard output.", valueName: "file")
  )
  var output: String?

  @Flag(help: "Replace an existing file that onnxq did not write.")
  var force = false

  @Option(help: ArgumentHelp("End with 1 from this severity on.", valueName: "error|warning|info"))
  var failOn: Threshold = .error

  @Flag(help: "Say for every node in what it runs and why.")
  var explain = false

  @Option(help: ArgumentHelp("How results are printed on standard output.", valueName: "text|json|sarif"))
  var format: Format = .text

  @Flag(name: .shortAndLong, help: "No remarks on standard error.")
  var quiet = false

  @Option(help: ArgumentHelp("Settings to use instead of ./onnxq.yaml.", valueName: "file"))
  var config: String?

  func validate() throws {
    if output != nil, !fix { throw ValidationError("--output is where --fix writes: give --fix, too") }
    if output == "-", format != .text {
      throw ValidationError("--output - and --format \(format) both want standard output")
    }
  }

  func run() throws {
    let configuration = try Configuration.load(config)
    let path = try ModelLocator.locate(model, configuration)
    var file = try ModelFile(path: path)
    let lint = try Lint(target: target ?? configuration.target ?? "tensorrt")
    if fix {
      let fixed = try lint.fixed(path)
      if output == "-" {
        try Terminal.write(fixed.encoded())
        return
      }
      if !quiet { for change in fixed.changes { Terminal.note(change) } }
      if fixed.changes.isEmpty {
        if !quiet { Terminal.note("nothing to fix: no file written") }
      } else {
        let output = output ?? (path.hasSuffix(".onnx") ? String(path.dropLast(5)) : path) + ".fixed.onnx"
        try fixed.write(to: output, replacingForeign: force)
        if !quiet { Terminal.note("wrote \(output)") }
        file = try ModelFile(path: output)
      }
    }
    let result = try lint.run(file)
    switch format {
    case .json: try JSON.print(result)
    case .sarif: try JSON.print(SARIF(result))
    case .text: Terminal.out(text(result))
    }
    let bad: [LintResult.Severity] =
      failOn == .error ? [.error] : failOn == .warning ? [.error, .warning] : LintResult.Severity.allCases
    let count = bad.reduce(0) { $0 + result.count($1) }
    if count > 0 { throw Shortfall(lines: quiet ? [] : ["\(path): \(count) findings of severity \(failOn) or worse"]) }
  }

  private func text(_ result: LintResult) -> String {
    var lines = result.findings.map { finding in
      "\(finding.severity.rawValue) \(finding.rule) \(finding.message)\n    \(finding.fix)\(finding.fixable ? " (--fix does it)" : "")"
    }
    if explain {
      lines += result.nodes.map { "node \($0.name) \($0.opType): \($0.runsIn), \($0.reason)" }
    }
    var counts: [String: Int] = [:]
    for node in result.nodes { counts[node.runsIn, default: 0] += 1 }
    let runs = counts.sorted { $0.key < $1.key }.map { "\($0.value) in \($0.key)" }.joined(separator: ", ")
    lines.append(
      "target \(result.target): \(result.count(.error)) errors, \(result.count(.warning)) warnings, "
        + "\(result.count(.info)) remarks; nodes: \(runs)")
    return lines.joined(separator: "\n")
  }
}
