import QuantCore

package struct InsertionOptions: Sendable {
  package enum MissingData: String, Sendable, CaseIterable {
    case error
    /// Leave what lacks usable statistics in float.
    case float
  }

  package var target: TargetPreset
  package var method: RangeMethod
  package var correctsBias = true
  /// The share of the multiply-accumulates, 0 to 1, that may run in float so that tensors whose grids drown their
  /// signal stay float; nil leaves no such tensor out.
  package var rescueBudget: Double? = 0.15
  package var foldsBatchNormalization = true
  /// Computes constants, takes Identity and Dropout out and folds normalizations; without it only Q/DQ are added.
  package var folds = true
  package var missingData = MissingData.error
  package var include: [Selector] = []
  package var exclude: [Selector] = []
  package var overrides: [TensorOverride] = []

  package init(target: TargetPreset = .tensorRT, method: RangeMethod = .minMax) {
    self.target = target
    self.method = method
  }
}
