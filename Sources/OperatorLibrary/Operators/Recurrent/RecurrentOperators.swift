extension OperatorCatalog {
  static let recurrentOperators: [any Operator.Type] = [
    GRU.self,
    LSTM.self,
    RNN.self,
  ]
}
