import FloatExecution
import FloatKernels
import ONNXFormat
import ONNXGraph
import OperatorLibrary
import QuantVerification

/// Facts about this build.
public enum Quantizer {
  /// The version that provenance stamps and `--version` name.
  public static let version = "0.1.0"

  /// Instruction sets that this machine has kernels for, the one in use last.
  public static var instructionSets: [String] {
    InstructionSet.all.filter(\.isAvailable).map(\.description)
  }
}

/// Runs `body` and folds whatever it throws into the library's one error; `subject` says what it was about.
func folding<R>(_ subject: String? = nil, _ body: () throws -> R) throws(QuantizerError) -> R {
  do {
    return try body()
  } catch {
    throw QuantizerError(folding: error, subject: subject)
  }
}

extension QuantizerError {
  init(folding error: any Error, subject: String?) {
    func located(_ text: String) -> String {
      guard let subject, !text.contains(subject) else { return text }
      return "\(subject): \(text)"
    }
    switch error {
    case let error as QuantizerError: self = error
    default: self.init(.badInput, located("\(error)"))
    }
  }
}
