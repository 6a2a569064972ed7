extension OperatorCatalog {
  static let attentionOperators: [any Operator.Type] = [
    Attention.self,
    CausalConvWithState.self,
    FlexAttention.self,
    LinearAttention.self,
    RotaryEmbedding.self,
  ]
}
