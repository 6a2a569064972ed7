import ONNXGraph
import ONNXTensor
import QuantCore

/// What was decided about one tensor, and why.
package struct Decision: Sendable {
  package var tensor: String
  package var rule: PlacementRule
  package var reason: String
  /// nil for a tensor that stays float.
  package var parameters: QuantizationParameters?
  /// Where the range came from: a range method, `weights`, `constant`, `existing`, `fixed`; nil for float tensors.
  package var method: String?
  /// The range of reals that the parameters were made for.
  package var range: ValueRange?
  /// Elements along the axis that share a scale, of a weight in blocks.
  package var blockSize: Int?
  /// The pair was there before.
  package var isExisting = false

  package var isQuantized: Bool { parameters != nil }
}

/// What became of one node.
package struct NodeOutcome: Sendable {
  package var node: String
  package var opType: String
  package var isQuantized: Bool
  package var rule: PlacementRule
  package var reason: String
  /// Multiply-accumulates of one sample; 0 where the operator has none or shapes are not known.
  package var macs: Int
}

/// What an insertion did.
package struct InsertionReport: Sendable {
  package var target: String
  package var decisions: [Decision] = []
  package var nodes: [NodeOutcome] = []
  /// Q/DQ pairs and DequantizeLinear of constants that were added.
  package var pairs = 0
  package var journal: [JournalEntry] = []
  package var isUnchanged: Bool = true

  package var totalMacs: Int { nodes.reduce(0) { $0 + $1.macs } }
  package var quantizedMacs: Int { nodes.reduce(0) { $0 + ($1.isQuantized ? $1.macs : 0) } }
  /// Share of the multiply-accumulates in quantized operators, 0 to 1; nil where none were counted.
  package var macShare: Double? { totalMacs == 0 ? nil : Double(quantizedMacs) / Double(totalMacs) }
}
