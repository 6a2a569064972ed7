extension OperatorCatalog {
  static let signalOperators: [any Operator.Type] = [
    BlackmanWindow.self,
    DFT.self,
    HammingWindow.self,
    HannWindow.self,
    MelWeightMatrix.self,
    STFT.self,
  ]
}
