extension OperatorCatalog {
  static let generatorOperators: [any Operator.Type] = []
}
