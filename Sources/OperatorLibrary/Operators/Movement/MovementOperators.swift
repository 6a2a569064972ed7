extension OperatorCatalog {
  static let movementOperators: [any Operator.Type] = []
}
