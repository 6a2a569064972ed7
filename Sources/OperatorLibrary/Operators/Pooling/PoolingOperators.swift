extension OperatorCatalog {
  static let poolingOperators: [any Operator.Type] = [
    AveragePool.self,
    GlobalAveragePool.self,
    GlobalLpPool.self,
    GlobalMaxPool.self,
    LpPool.self,
    MaxPool.self,
    MaxRoiPool.self,
    MaxUnpool.self,
    RoiAlign.self,
  ]
}
