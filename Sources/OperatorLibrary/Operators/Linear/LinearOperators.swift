extension OperatorCatalog {
  static let linearOperators: [any Operator.Type] = [
    Col2Im.self,
    Conv.self,
    ConvInteger.self,
    ConvTranspose.self,
    DeformConv.self,
    Det.self,
    Einsum.self,
    Gemm.self,
    MatMul.self,
    MatMulInteger.self,
    QLinearConv.self,
    QLinearMatMul.self,
  ]
}
