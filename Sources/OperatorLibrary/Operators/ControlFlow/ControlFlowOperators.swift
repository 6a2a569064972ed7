extension OperatorCatalog {
  static let controlFlowOperators: [any Operator.Type] = [
    ConcatFromSequence.self,
    If.self,
    Loop.self,
    OptionalGetElement.self,
    OptionalHasElement.self,
    OptionalOperator.self,
    Scan.self,
    SequenceAt.self,
    SequenceConstruct.self,
    SequenceEmpty.self,
    SequenceErase.self,
    SequenceInsert.self,
    SequenceLength.self,
    SequenceMap.self,
    SplitToSequence.self,
  ]
}
