extension OperatorCatalog {
  static let recurrentOperators: [any Operator.Type] = []
}
