extension OperatorCatalog {
  static let microsoftOperators: [any Operator.Type] = []
}
