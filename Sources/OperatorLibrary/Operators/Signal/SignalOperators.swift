extension OperatorCatalog {
  static let signalOperators: [any Operator.Type] = []
}
