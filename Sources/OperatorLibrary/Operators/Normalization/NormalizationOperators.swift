extension OperatorCatalog {
  static let normalizationOperators: [any Operator.Type] = []
}
