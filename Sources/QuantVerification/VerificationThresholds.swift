/// What `verify` demands. The values that hold without any flag are `standard`, named in the command's help.
package struct VerificationThresholds: Sendable {
  /// Least SQNR of every graph output, in decibels, against the float model.
  package var minimumSQNR: Double?
  /// Least cosine of every graph output.
  package var minimumCosine: Double?
  /// Least share of samples, in percent, with the float model's class.
  package var minimumAgreement: Double?
  /// Most percentage points of top-1 accuracy lost against the float model; needs labels.
  package var maximumDrop: Double?
  /// Least SQNR of the float executor against given reference outputs: the two should differ by rounding alone.
  package var minimumReferenceSQNR: Double? = 60

  package init(
    minimumSQNR: Double? = nil, minimumCosine: Double? = nil, minimumAgreement: Double? = nil,
    maximumDrop: Double? = nil
  ) {
    self.minimumSQNR = minimumSQNR
    self.minimumCosine = minimumCosine
    self.minimumAgreement = minimumAgreement
    self.maximumDrop = maximumDrop
  }

  /// An output below 10 dB carries a third of its energy as noise; a classifier that keeps fewer than 80 % of its
  /// answers is another classifier.
  package static let standard = VerificationThresholds(minimumSQNR: 10, minimumAgreement: 80)

  package var isEmpty: Bool {
    minimumSQNR == nil && minimumCosine == nil && minimumAgreement == nil && maximumDrop == nil
  }
}
