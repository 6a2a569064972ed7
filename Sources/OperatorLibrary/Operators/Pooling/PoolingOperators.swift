extension OperatorCatalog {
  static let poolingOperators: [any Operator.Type] = []
}
