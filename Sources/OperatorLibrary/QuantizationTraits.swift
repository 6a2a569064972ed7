/// What placement rules need to know of an operator; the rules themselves belong to the targets.
package struct QuantizationTraits: Sendable {
  package enum Kind: Sendable {
    /// Never quantized.
    case none
    /// Multiplies an activation by a weight: Conv, ConvTranspose, Gemm, MatMul.
    case weighted
    /// Moves or selects elements; output elements are input elements, so input 0 and output share parameters.
    case movement
    /// Computes new values from its inputs, element by element or by pooling.
    case arithmetic
    /// A monotone or saturating activation that engines absorb into the producer: Relu, Clip, …
    case activation
  }

  package var kind: Kind
  /// Inputs that carry activations.
  package var activationInputs: InputSet = .first(1)
  package var weightInput: Int?
  package var biasInput: Int?

  package enum InputSet: Sendable {
    case all
    case first(Int)

    package func contains(_ index: Int) -> Bool {
      switch self {
      case .all: true
      case .first(let count): index < count
      }
    }
  }

  package init(_ kind: Kind, activationInputs: InputSet = .first(1), weightInput: Int? = nil, biasInput: Int? = nil) {
    self.kind = kind
    self.activationInputs = activationInputs
    self.weightInput = weightInput
    self.biasInput = biasInput
  }

  package static let none = QuantizationTraits(.none, activationInputs: .first(0))
  package static let movement = QuantizationTraits(.movement)
  package static let unary = QuantizationTraits(.arithmetic)
  package static let elementwise = QuantizationTraits(.arithmetic, activationInputs: .all)
  package static let activation = QuantizationTraits(.activation)
}
