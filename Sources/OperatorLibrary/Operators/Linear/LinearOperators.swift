extension OperatorCatalog {
  static let linearOperators: [any Operator.Type] = []
}
