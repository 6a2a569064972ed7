import ONNXTensor
import QuantCore

/// What an engine wants of a quantized model, as data.
package struct TargetPreset: Sendable {
  package enum Placement: Sendable {
    /// Q/DQ where the builder of a fusing engine needs them: inputs of weighted operators, skip inputs of residual Adds.
    case weightedInputs
    /// Q/DQ on every edge of operators with integer kernels that stand between quantized ones.
    case betweenQuantized
    /// Q/DQ on every tensor of an operator with an integer kernel.
    case everyTensor
  }

  package enum BiasForm: Sendable { case float, int32 }

  package var name: String
  package var activations: QuantizationScheme
  package var weights = QuantizationScheme.int8Symmetric
  package var isPerChannel = true
  /// Weights of matrix products have a scale for so many elements along the sum.
  package var blockSize: Int?
  package var placement: Placement
  package var bias: BiasForm
  /// Conv, ConvTranspose, Gemm, MatMul as far as the target runs them in integers.
  package var weighted: Set<String>
  /// Weighted operators whose integer kernel writes integers only (`betweenQuantized`); with `everyTensor` all write
  /// integers where an integer kernel reads them.
  package var integerOutput: Set<String> = []
  /// Products of two activations are quantized.
  package var quantizesProducts: Bool
  /// Operators that compute new values.
  package var arithmetic: Set<String>
  /// Operators whose output elements are input elements: one scale.
  package var movement: Set<String>
  /// Activations that the Q behind them absorbs.
  package var absorbed: Set<String>
  /// Operators that share one scale among all inputs and the output, besides `movement`.
  package var sharing: Set<String> = []
  /// Outputs whose range is known.
  package var fixedRanges: [String: ValueRange] = [:]
  /// The Add of a constant behind MatMul is part of it.
  package var fusesMatMulBias: Bool
  /// Weighted operators too small for the engine's integer units stay float (`weightedInputs`).
  package var needsTensorCoreShapes = false
  /// The type of activations that 8 bits drown, where the target has kernels for it; all activations of such a kernel have
  /// it. nil leaves those tensors float.
  package var wideActivations: ElementType?
  /// The grid of activations that may have no zero point: factors of products of two activations, inputs of ConvTranspose
  /// (`weightedInputs`). nil where they are as all others.
  package var centered: QuantizationScheme?
  /// The engine drops a pair with scale 1 and zero point 0.
  package var dropsUnitPairs = false
  /// Convolutions may be written with channels of one range and a Mul behind them.
  package var equalizes = false
  /// Weighted operators whose weight has one scale, whatever `isPerChannel` says.
  package var perTensorWeights: Set<String> = []
  /// The rules that decisions name (`weightedInputs`).
  package var rules = FusionRules.tensorRT
  package var lowestOpset = 13
  package var highestOpset: Int?

  package static func named(_ name: String) throws -> TargetPreset {
    if let preset = all.first(where: { $0.name == name }) { return preset }
    throw PassError(
      .badOption, "there is no target '\(name)'",
      advice: "use one of \(all.map(\.name).joined(separator: ", ")), or a file that ends in .yaml")
  }
}
