extension OperatorCatalog {
  static let movementOperators: [any Operator.Type] = [
    BitCast.self,
    Concat.self,
    Expand.self,
    Flatten.self,
    Identity.self,
    Pad.self,
    Reshape.self,
    ReverseSequence.self,
    Shape.self,
    Size.self,
    SliceOperator.self,
    Split.self,
    Squeeze.self,
    Tile.self,
    Transpose.self,
    Trilu.self,
    Unsqueeze.self,
  ]
}
