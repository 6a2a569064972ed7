import ONNXTensor
import QuantCore

package struct InsertionOptions: Sendable {
  package enum MissingData: String, Sendable, CaseIterable {
    case error
    /// Leave what lacks usable statistics in float.
    case float
  }

  package enum Folding: String, Sendable, CaseIterable {
    /// Normalizations, identities and constants, before Q/DQ is inserted.
    case all
    /// Nothing but Q/DQ, biases and what they need is changed.
    case none
  }

  package var target: TargetPreset
  package var method: RangeMethod
  /// Where samples are at hand, another method than `method` may take its place, if the outputs gain by it.
  package var measuresMethod = false
  package var correctsBias = true
  /// The share of the multiply-accumulates, 0 to 1, that may run in float so that tensors whose grids drown their
  /// signal stay float; nil leaves no such tensor out.
  package var rescueBudget: Double? = 0.05
  package var folding = Folding.all
  package var missingData = MissingData.error
  /// What stays float is computed in this type, float16 or bfloat16; nil leaves it as it is.
  package var highPrecision: ElementType?
  /// Operators on integers take the place of operators between Q/DQ, where onnxruntime has them.
  package var usesIntegerOperators = false
  /// The opset of the result; nil for the lowest that it needs.
  package var opset: Int?
  package var include: [Selector] = []
  package var exclude: [Selector] = []
  package var overrides: [TensorOverride] = []

  package init(target: TargetPreset = .tensorRT, method: RangeMethod = .minMax) {
    self.target = target
    self.method = method
  }
}
