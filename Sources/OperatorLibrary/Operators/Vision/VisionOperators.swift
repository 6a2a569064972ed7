extension OperatorCatalog {
  static let visionOperators: [any Operator.Type] = []
}
