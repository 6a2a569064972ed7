import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXTensor

/// An engine beside the Q/DQ model that it should have been built of.
final class EngineTwin {
  let path: String
  let rounding: String
  /// Samples of which an output differs.
  private(set) var differing = 0
  private var first: String?
  private var samples = 0
  private let executor: IntegerExecutor
  /// The model lowered under the engine's rule, where that is not the one that verification runs.
  private let lowered: IntegerExecutor?

  init(_ engine: ModelFile, of quantized: ModelFile?, threads: ThreadPool) throws {
    guard let opened = engine.engine else { throw QuantizerError(.badInput, "\(engine.path) is no engine") }
    guard let quantized else { throw QuantizerError(.usage, "an engine is compared with a Q/DQ model: name both") }
    guard engine.inputs.map(\.name) == quantized.inputs.map(\.name),
      engine.outputs.map(\.name) == quantized.outputs.map(\.name)
    else {
      throw QuantizerError(.badInput, "\(engine.path) has other inputs or outputs than \(quantized.path)")
    }
    path = engine.path
    rounding = opened.plan.options.rounding.rawValue
    executor = IntegerExecutor(plan: opened.plan, threads: threads)
    lowered =
      opened.plan.options.rounding == .fixed
      ? nil
      : try IntegerExecutor(
        model: quantized.model, options: IntegerOptions(rounding: opened.plan.options.rounding), threads: threads)
  }

  func compare(_ inputs: [String: RuntimeValue], with outputs: [String: RuntimeValue]) throws {
    let expected = try lowered?.run(inputs) ?? outputs
    let got: [String: RuntimeValue] = try executor.run(inputs)
    samples += 1
    for (name, value) in expected.sorted(by: { $0.key < $1.key }) {
      guard let a = value.tensor, let b = got[name]?.tensor, a.elementType == b.elementType, a.shape == b.shape,
        a.withBytes({ x in b.withBytes { x.elementsEqual($0) } })
      else {
        differing += 1
        if first == nil { first = "output '\(name)' of sample \(samples - 1)" }
        return
      }
    }
  }

  /// One line where the engine is not the model's.
  var failure: String? {
    first.map { "engine \(path) differs from the Q/DQ model lowered anew on \(differing) of \(samples) samples: \($0)" }
  }
}
