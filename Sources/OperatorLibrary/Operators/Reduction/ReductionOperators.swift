extension OperatorCatalog {
  static let reductionOperators: [any Operator.Type] = []
}
