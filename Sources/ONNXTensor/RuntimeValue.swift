/// A value at run time: what ONNX's `TypeProto` can describe.
package indirect enum RuntimeValue: Sendable {
  case tensor(Tensor)
  case sequence([RuntimeValue])
  /// An optional; nil when it holds nothing.
  case optional(RuntimeValue?)
  /// A map: keys (a rank-1 tensor of strings or integers) and as many values.
  case map(keys: Tensor, values: RuntimeValue)

  package var tensor: Tensor? {
    switch self {
    case .tensor(let tensor): tensor
    case .optional(let value): value?.tensor
    default: nil
    }
  }
}
