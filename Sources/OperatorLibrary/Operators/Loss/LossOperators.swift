extension OperatorCatalog {
  static let lossOperators: [any Operator.Type] = [
    NegativeLogLikelihoodLoss.self,
    SoftmaxCrossEntropyLoss.self,
  ]
}
