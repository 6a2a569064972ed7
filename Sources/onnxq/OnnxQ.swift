import ArgumentParser
import ONNXQuantizer

/// The verbs, and the exit codes that scripts rely on.
@main
struct OnnxQ: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "onnxq",
    abstract: "Quantizes ONNX models for a named target and proves the result.",
    discussion: """
      The three commands of every day, in the folder of a model:

        onnxq calibrate --data calibration/
        onnxq insert-qdq
        onnxq verify

      Exit codes: 0 good, 1 ran and fell short, 2 usage, 3 bad input, 4 internal error.
      """,
    version: Version.text,
    subcommands: [
      Calibrate.self, InsertQDQCommand.self, Verify.self, BuildCommand.self, Run.self, Bench.self, Test.self,
      Inspect.self, LintCommand.self, Strip.self, Merge.self, Ranges.self,
    ])

  static func main() {
    Terminal.occupyStandardStreams()
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as QuantizerError {
      exit(reporting: error)
    } catch let shortfall as Shortfall {
      for line in shortfall.lines { Terminal.error(line) }
      Terminal.exit(.fellShort)
    } catch {
      let code = exitCode(for: error)
      if code == .success {
        Terminal.out(fullMessage(for: error))
        Terminal.exit(.good)
      }
      Terminal.error(fullMessage(for: error), prefix: "")
      Terminal.exit(.usage)
    }
  }

  private static func exit(reporting error: QuantizerError) -> Never {
    Terminal.error(error.message)
    switch error.kind {
    case .usage: Terminal.exit(.usage)
    case .badInput: Terminal.exit(.badInput)
    case .internalError:
      Terminal.error("this is a defect of onnxq: please report the command, the version and the line above")
      Terminal.exit(.internalError)
    }
  }
}

/// The command ran and its demand was not met: exit code 1.
struct Shortfall: Error {
  let lines: [String]
}
