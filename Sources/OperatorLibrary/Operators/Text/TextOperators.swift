extension OperatorCatalog {
  static let textOperators: [any Operator.Type] = []
}
