extension OperatorCatalog {
  static let indexingOperators: [any Operator.Type] = [
    Gather.self,
    GatherElements.self,
    GatherND.self,
    OneHot.self,
    Scatter.self,
    ScatterElements.self,
    ScatterND.self,
    TensorScatter.self,
  ]
}
