import ONNXTensor

/// Decision trees in a flat form that is checked once: every path ends in a leaf.
struct TreeModel {
  enum Mode: Int { case lessOrEqual, less, greaterOrEqual, greater, equal, notEqual, member, leaf }

  struct Node {
    var mode: Mode
    var feature: Int
    var threshold: Double
    var members: Set<Double> = []
    var missingGoesTrue: Bool
    var whenTrue: Int
    var whenFalse: Int
  }

  /// A vote of a leaf.
  struct Vote {
    let target: Int
    let weight: Double
  }

  var nodes: [Node] = []
  var roots: [Int] = []
  var votes: [[Vote]] = []
  private(set) var features = 0

  /// The trees of TreeEnsembleClassifier ("class_") and TreeEnsembleRegressor ("target_").
  init(_ node: OperatorNode, votesNamed prefix: String) throws {
    func ints(_ name: String) throws -> [Int] { try node.ints(name) ?? [] }
    func reals(_ name: String) throws -> [Double] {
      if let tensor = try node.tensor(name + "_as_tensor") { return tensor.doubles ?? [] }
      return (try node.floats(name) ?? []).map(Double.init)
    }
    let (trees, ids) = (try ints("nodes_treeids"), try ints("nodes_nodeids"))
    let (featureIDs, values) = (try ints("nodes_featureids"), try reals("nodes_values"))
    let (yes, no) = (try ints("nodes_truenodeids"), try ints("nodes_falsenodeids"))
    let modes = try node.strings("nodes_modes") ?? []
    let missing = try ints("nodes_missing_value_tracks_true")
    let count = trees.count
    guard [ids.count, featureIDs.count, values.count, yes.count, no.count, modes.count].allSatisfy({ $0 == count }),
      missing.isEmpty || missing.count == count
    else { throw OperatorError("the attributes 'nodes_…' have different lengths") }
    struct Key: Hashable { let tree: Int, node: Int }
    var index: [Key: Int] = [:]
    var seen = Set<Int>()
    for position in 0..<count {
      let key = Key(tree: trees[position], node: ids[position])
      guard index.updateValue(position, forKey: key) == nil else {
        throw OperatorError("tree \(key.tree) has two nodes \(key.node)")
      }
      if seen.insert(trees[position]).inserted { roots.append(position) }
    }
    for position in 0..<count {
      let names = [
        "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF",
      ]
      let name = String(decoding: modes[position], as: UTF8.self)
      guard let mode = names.firstIndex(of: name).flatMap(Mode.init(rawValue:)), mode != .member else {
        throw OperatorError("a node has mode '\(name)'")
      }
      var item = Node(
        mode: mode, feature: featureIDs[position], threshold: values[position],
        missingGoesTrue: missing.isEmpty ? false : missing[position] != 0, whenTrue: 0, whenFalse: 0)
      if mode != .leaf {
        guard let left = index[Key(tree: trees[position], node: yes[position])],
          let right = index[Key(tree: trees[position], node: no[position])]
        else { throw OperatorError("a branch of tree \(trees[position]) leads nowhere") }
        (item.whenTrue, item.whenFalse) = (left, right)
      }
      nodes.append(item)
    }
    votes = Array(repeating: [], count: count)
    let (voteTrees, voteNodes) = (try ints(prefix + "treeids"), try ints(prefix + "nodeids"))
    let (targets, weights) = (try ints(prefix + "ids"), try reals(prefix + "weights"))
    guard voteNodes.count == voteTrees.count, targets.count == voteTrees.count, weights.count == voteTrees.count else {
      throw OperatorError("the attributes '\(prefix)…' have different lengths")
    }
    for position in voteTrees.indices {
      guard let leaf = index[Key(tree: voteTrees[position], node: voteNodes[position])] else {
        throw OperatorError("a vote belongs to no node")
      }
      votes[leaf].append(Vote(target: targets[position], weight: weights[position]))
    }
    try check()
  }

  /// The trees of TreeEnsemble.
  init(ensemble node: OperatorNode) throws {
    func ints(_ name: String) throws -> [Int] { try node.ints(name) ?? [] }
    let features = try ints("nodes_featureids")
    let (yes, no) = (try ints("nodes_truenodeids"), try ints("nodes_falsenodeids"))
    let (yesLeafs, noLeafs) = (try ints("nodes_trueleafs"), try ints("nodes_falseleafs"))
    let splits = try node.tensor("nodes_splits")?.doubles ?? []
    let modes = try node.tensor("nodes_modes")?.integers ?? []
    let missing = try ints("nodes_missing_value_tracks_true")
    let count = features.count
    guard [yes.count, no.count, yesLeafs.count, noLeafs.count, splits.count, modes.count].allSatisfy({ $0 == count }),
      missing.isEmpty || missing.count == count
    else { throw OperatorError("the attributes 'nodes_…' have different lengths") }
    let weights = try node.tensor("leaf_weights")?.doubles ?? []
    let targets = try ints("leaf_targetids")
    guard weights.count == targets.count else { throw OperatorError("the attributes 'leaf_…' have different lengths") }
    var members = (try node.tensor("membership_values")?.doubles ?? [])[...]
    // Leaves follow the nodes.
    func place(_ index: Int, isLeaf: Bool) throws -> Int {
      guard index >= 0, index < (isLeaf ? targets.count : count) else {
        throw OperatorError("a branch leads to \(isLeaf ? "leaf" : "node") \(index), which is not there")
      }
      return isLeaf ? count + index : index
    }
    for position in 0..<count {
      guard let mode = Mode(rawValue: modes[position]), mode != .leaf else {
        throw OperatorError("a node has mode \(modes[position])")
      }
      var item = Node(
        mode: mode, feature: features[position], threshold: splits[position],
        missingGoesTrue: missing.isEmpty ? false : missing[position] != 0,
        whenTrue: try place(yes[position], isLeaf: yesLeafs[position] != 0),
        whenFalse: try place(no[position], isLeaf: noLeafs[position] != 0))
      if mode == .member {
        while let value = members.popFirst(), !value.isNaN { item.members.insert(value) }
      }
      nodes.append(item)
    }
    votes = Array(repeating: [], count: count)
    for (target, weight) in zip(targets, weights) {
      nodes.append(
        Node(mode: .leaf, feature: 0, threshold: 0, missingGoesTrue: false, whenTrue: 0, whenFalse: 0))
      votes.append([Vote(target: target, weight: weight)])
    }
    roots = try ints("tree_roots").map { try place($0, isLeaf: false) }
    try check()
  }

  private mutating func check() throws {
    for node in nodes where node.mode != .leaf {
      guard node.feature >= 0 else { throw OperatorError("a node asks for feature \(node.feature)") }
      features = max(features, node.feature + 1)
    }
    // A branch that leads back would never end: visit in depth, a node under way must not be met again.
    var state = [UInt8](repeating: 0, count: nodes.count)
    for root in roots {
      var stack = [root]
      while let top = stack.last {
        if state[top] == 0 {
          state[top] = 1
          if nodes[top].mode != .leaf {
            for next in [nodes[top].whenTrue, nodes[top].whenFalse] {
              if state[next] == 1 { throw OperatorError("a branch of a tree leads back to a node above it") }
              if state[next] == 0 { stack.append(next) }
            }
          }
        } else {
          state[top] = 2
          stack.removeLast()
        }
      }
    }
  }

  /// The votes of every tree for one row.
  func votes(_ row: ArraySlice<Double>, _ body: (Vote) -> Void) {
    for root in roots {
      var index = root
      while nodes[index].mode != .leaf {
        let node = nodes[index]
        index = node.isTrue(row[row.startIndex + node.feature]) ? node.whenTrue : node.whenFalse
      }
      votes[index].forEach(body)
    }
  }

  func require(features count: Int, targets: Int) throws {
    guard features <= count else { throw OperatorError("the trees ask for \(features) features, there are \(count)") }
    guard votes.allSatisfy({ $0.allSatisfy { (0..<targets).contains($0.target) } }) else {
      throw OperatorError("a vote is for none of the \(targets) targets")
    }
  }
}

extension TreeModel.Node {
  fileprivate func isTrue(_ value: Double) -> Bool {
    if value.isNaN { return missingGoesTrue || mode == .notEqual }
    return switch mode {
    case .lessOrEqual: value <= threshold
    case .less: value < threshold
    case .greaterOrEqual: value >= threshold
    case .greater: value > threshold
    case .equal: value == threshold
    case .notEqual: value != threshold
    case .member: members.contains(value)
    case .leaf: false
    }
  }
}

/// How the votes for one target are combined.
enum TreeAggregate: String {
  case average = "AVERAGE"
  case sum = "SUM"
  case min = "MIN"
  case max = "MAX"

  init(_ node: OperatorNode) throws {
    if case .int(let code) = node.node.attribute("aggregate_function") {
      let all: [TreeAggregate] = [.average, .sum, .min, .max]
      guard let index = Int(exactly: code), all.indices.contains(index) else {
        throw OperatorError("attribute 'aggregate_function' is \(code)")
      }
      self = all[index]
      return
    }
    let name = try node.string("aggregate_function", default: "SUM")
    guard let value = TreeAggregate(rawValue: name) else {
      throw OperatorError("attribute 'aggregate_function' is '\(name)'")
    }
    self = value
  }

  /// Scores of one row; targets without votes are 0.
  func scores(_ model: TreeModel, _ row: ArraySlice<Double>, targets: Int) -> [Double] {
    var result = [Double?](repeating: nil, count: targets)
    model.votes(row) { vote in
      guard let old = result[vote.target] else {
        result[vote.target] = vote.weight
        return
      }
      result[vote.target] =
        switch self {
        case .average, .sum: old + vote.weight
        case .min: Swift.min(old, vote.weight)
        case .max: Swift.max(old, vote.weight)
        }
    }
    let divisor = self == .average ? Double(Swift.max(model.roots.count, 1)) : 1
    return result.map { ($0 ?? 0) / divisor }
  }
}
