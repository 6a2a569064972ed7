import IntegerKernels

/// How a Q/DQ model is lowered.
package struct IntegerOptions: Sendable {
  package var rounding: IntegerRounding = .fixed
  /// Refuse a model of which anything but moving and shape arithmetic stays float.
  package var integerOnly = false
  /// Count the outputs for which the two roundings differ. Slower: accumulators are written out.
  package var countsTies = false
  /// Keep the weights in their canonical layout beside the packed ones: for plans that are to be stored.
  package var isStored = false

  package init(
    rounding: IntegerRounding = .fixed, integerOnly: Bool = false, countsTies: Bool = false, isStored: Bool = false
  ) {
    self.isStored = isStored
    self.rounding = rounding
    self.integerOnly = integerOnly
    self.countsTies = countsTies
  }
}

/// A node that stays float.
package struct FloatIsland: Sendable, Equatable {
  package let node: String
  package let opType: String
  package var macs: Int
  package let reason: String
}

/// What one run did.
package struct IntegerStatistics: Sendable {
  package var macs = 0
  package var integerMacs = 0
  package var islands: [FloatIsland] = []
  /// Outputs for which the fixed and the float32 rule differ; counted under `countsTies` alone.
  package var ties = 0

  /// Share of multiply-accumulates done in integers; 1 where there are none at all.
  package var share: Double { macs == 0 ? 1 : Double(integerMacs) / Double(macs) }
}

extension IntegerOptions {
  static func rounding(named name: String) -> IntegerRounding? { IntegerRounding(rawValue: name) }
}
