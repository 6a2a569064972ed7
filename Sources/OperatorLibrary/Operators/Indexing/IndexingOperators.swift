extension OperatorCatalog {
  static let indexingOperators: [any Operator.Type] = []
}
