extension OperatorCatalog {
  static let quantizationOperators: [any Operator.Type] = [
    DequantizeLinear.self,
    DynamicQuantizeLinear.self,
    QuantizeLinear.self,
  ]
}
