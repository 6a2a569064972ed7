import ArgumentParser
import ONNXQuantizer

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json
}

/// What every verb takes.
struct CommonOptions: ParsableArguments {
  @Option(help: ArgumentHelp("How results are printed on standard output.", valueName: "text|json"))
  var format: OutputFormat = .text

  @Option(help: "Threads to use; all processors by default. Results do not depend on it.")
  var threads: Int?

  @Flag(name: .shortAndLong, help: "No progress and no remarks on standard error.")
  var quiet = false

  @Option(help: ArgumentHelp("Settings to use instead of ./onnxq.yaml.", valueName: "file"))
  var config: String?

  func validate() throws {
    if let threads, !(1...1024).contains(threads) { throw ValidationError("--threads takes 1 to 1024") }
  }

  func note(_ message: String) { if !quiet { Terminal.note(message) } }
}
