extension OperatorCatalog {
  static let quantizationOperators: [any Operator.Type] = []
}
