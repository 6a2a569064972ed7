extension OperatorCatalog {
  static let attentionOperators: [any Operator.Type] = []
}
