import ONNXGraph

/// All operators, by domain and `op_type`.
package enum OperatorCatalog {
  /// The families; each table stands beside the operators it lists.
  static let families: [[any Operator.Type]] = [
    attentionOperators,
    controlFlowOperators,
    elementwiseOperators,
    generatorOperators,
    indexingOperators,
    linearOperators,
    lossOperators,
    machineLearningOperators,
    microsoftOperators,
    movementOperators,
    normalizationOperators,
    poolingOperators,
    quantizationOperators,
    recurrentOperators,
    reductionOperators,
    signalOperators,
    textOperators,
    visionOperators,
  ]

  private static let table: [String: any Operator.Type] = {
    var table: [String: any Operator.Type] = [:]
    for entry in families.joined() { table["\(entry.domain):\(entry.opType)"] = entry }
    return table
  }()

  /// Every operator, sorted by domain and name.
  package static var all: [any Operator.Type] {
    table.sorted { $0.key < $1.key }.map(\.value)
  }

  package static func find(domain: String, opType: String) -> (any Operator.Type)? { table["\(domain):\(opType)"] }

  package static func find(_ node: Node) -> (any Operator.Type)? {
    find(domain: node.canonicalDomain, opType: node.opType)
  }
}

extension OperatorCatalog {
  private static let randomOperators: Set<String> = [
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial",
  ]

  /// True for generators whose results differ from run to run.
  package static func isRandom(_ node: Node) -> Bool {
    guard node.canonicalDomain.isEmpty else { return false }
    // Dropout drops only in training mode, which is its third input.
    return randomOperators.contains(node.opType) || (node.opType == "Dropout" && node.input(2) != nil)
  }

  /// True for nodes that plans leave unfolded although their inputs are known, because the result is far larger.
  package static func keepsCompactForm(_ node: Node) -> Bool { false }
}
