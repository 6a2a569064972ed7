extension OperatorCatalog {
  static let generatorOperators: [any Operator.Type] = [
    Bernoulli.self,
    Constant.self,
    ConstantOfShape.self,
    EyeLike.self,
    Multinomial.self,
    RandomNormal.self,
    RandomNormalLike.self,
    RandomUniform.self,
    RandomUniformLike.self,
    RangeOperator.self,
  ]
}
