extension OperatorCatalog {
  static let visionOperators: [any Operator.Type] = [
    AffineGrid.self,
    CenterCropPad.self,
    DepthToSpace.self,
    GridSample.self,
    NonMaxSuppression.self,
    Resize.self,
    SpaceToDepth.self,
    Upsample.self,
  ]
}
