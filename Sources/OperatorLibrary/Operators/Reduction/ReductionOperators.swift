extension OperatorCatalog {
  static let reductionOperators: [any Operator.Type] = [
    ArgMax.self,
    ArgMin.self,
    Compress.self,
    CumProd.self,
    CumSum.self,
    NonZero.self,
    ReduceL1.self,
    ReduceL2.self,
    ReduceLogSum.self,
    ReduceLogSumExp.self,
    ReduceMax.self,
    ReduceMean.self,
    ReduceMin.self,
    ReduceProd.self,
    ReduceSum.self,
    ReduceSumSquare.self,
    TopK.self,
    Unique.self,
  ]
}
