extension OperatorCatalog {
  static let lossOperators: [any Operator.Type] = []
}
