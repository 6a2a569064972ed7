extension OperatorCatalog {
  static let elementwiseOperators: [any Operator.Type] = []
}
