extension OperatorCatalog {
  static let machineLearningOperators: [any Operator.Type] = []
}
