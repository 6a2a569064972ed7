extension OperatorCatalog {
  static let normalizationOperators: [any Operator.Type] = [
    BatchNormalization.self,
    Dropout.self,
    GroupNormalization.self,
    Hardmax.self,
    InstanceNormalization.self,
    LRN.self,
    LayerNormalization.self,
    LogSoftmax.self,
    LpNormalization.self,
    MeanVarianceNormalization.self,
    RMSNormalization.self,
    Softmax.self,
  ]
}
