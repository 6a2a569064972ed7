extension OperatorCatalog {
  static let lossOperators: [any Operator.Type] = [
    Adagrad.self,
    Adam.self,
    Momentum.self,
    NegativeLogLikelihoodLoss.self,
    SoftmaxCrossEntropyLoss.self,
  ]
}
