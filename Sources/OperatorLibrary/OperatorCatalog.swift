package import ONNXGraph

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
