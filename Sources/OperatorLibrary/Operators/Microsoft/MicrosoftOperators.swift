/// Operators of ONNX Runtime's domain `com.microsoft` that exported and optimized models carry.
protocol MicrosoftOperator: Operator {}

extension MicrosoftOperator {
  static var domain: String { "com.microsoft" }
}

extension OperatorCatalog {
  static let microsoftOperators: [any Operator.Type] = [
    BiasGelu.self,
    DynamicQuantizeMatMul.self,
    EmbedLayerNormalization.self,
    FastGelu.self,
    FusedConv.self,
    FusedGemm.self,
    FusedMatMul.self,
    MatMulIntegerToFloat.self,
    MatMulNBits.self,
    MicrosoftAttention.self,
    MicrosoftGelu.self,
    QGemm.self,
    QLinearAdd.self,
    QLinearAveragePool.self,
    QLinearConcat.self,
    QLinearGlobalAveragePool.self,
    QLinearLeakyRelu.self,
    QLinearMul.self,
    QLinearSigmoid.self,
    QLinearSoftmax.self,
    QuickGelu.self,
    SimplifiedLayerNormalization.self,
    SkipLayerNormalization.self,
    SkipSimplifiedLayerNormalization.self,
  ]
}
