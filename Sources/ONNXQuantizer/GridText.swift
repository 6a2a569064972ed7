import ONNXTensor
import QuantCore
import QuantPasses

/// A grid in words with commas between: a type, then `symmetric`, `asymmetric`, `reduce-range`, `power-of-two`, and for
/// weights `per-channel`, `per-tensor` and `block=N`. What is not said stays as the target has it.
enum GridText {
  static func apply(
    activations: String?, weights: String?, to target: inout TargetPreset
  ) throws(QuantizerError) {
    if let activations {
      target.activations = try words(activations, TargetFile.activationTypes).change.applied(to: target.activations)
      // An engine multiplies floats by floats.
      if weights == nil, QuantizationScheme.format(of: target.activations.elementType) != nil {
        target.weights = QuantizationScheme(target.activations.elementType, symmetric: true)
      }
    }
    if let weights {
      let said = try words(weights, TargetFile.weightTypes, isWeight: true)
      target.weights = said.change.applied(to: target.weights)
      target.isPerChannel = said.isPerChannel ?? target.isPerChannel
      target.blockSize = said.block ?? target.blockSize
    }
    TargetFile.settleOpset(&target)
  }

  private static func words(
    _ text: String, _ types: [ElementType], isWeight: Bool = false
  ) throws(QuantizerError) -> (change: SchemeChange, isPerChannel: Bool?, block: Int?) {
    var result: (change: SchemeChange, isPerChannel: Bool?, block: Int?) = (SchemeChange(), nil, nil)
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let word = String(part)
      if let type = types.first(where: { $0.name == word }) {
        result.change.elementType = type
        continue
      }
      switch word {
      case "symmetric": result.change.isSymmetric = true
      case "asymmetric": result.change.isSymmetric = false
      case "reduce-range": result.change.isReduced = true
      case "power-of-two": result.change.isPowerOfTwo = true
      case "per-channel" where isWeight: result.isPerChannel = true
      case "per-tensor" where isWeight: result.isPerChannel = false
      case _ where isWeight && word.hasPrefix("block="):
        guard let size = Int(word.dropFirst(6)), size > 0 else {
          throw QuantizerError(.usage, "'\(word)': a block has 1 element or more, as in block=32")
        }
        result.block = size
      default:
        let known =
          types.map(\.name) + ["symmetric", "asymmetric", "reduce-range", "power-of-two"]
          + (isWeight ? ["per-channel", "per-tensor", "block=N"] : [])
        throw QuantizerError(.usage, "'\(word)' says nothing of a grid: use \(known.joined(separator: ", "))")
      }
    }
    return result
  }
}
