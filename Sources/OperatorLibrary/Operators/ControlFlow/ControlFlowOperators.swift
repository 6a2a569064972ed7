extension OperatorCatalog {
  static let controlFlowOperators: [any Operator.Type] = []
}
