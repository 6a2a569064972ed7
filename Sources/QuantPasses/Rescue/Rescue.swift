import ONNXGraph
import QuantCore

/// Picks the tensors that stay float because their grids do the most harm, worst first, within a budget.
///
/// What a tensor costs is found by placing anew without it: the multiply-accumulates that run in float then. A tensor
/// that does not fit into what is left of the budget is passed over for the next.
struct Rescue {
  /// Harm of each tensor as a ratio in dB, small where it is great, and the limit from which on nothing needs rescue.
  struct Ranking {
    var ratios: [Value: Double]
    var limit: Double
    /// How far below the limit a tensor must be for each percent of the multiply-accumulates that it costs.
    var worth = 0.0
    /// What the ratio is, for the reason.
    var sentence: (Double) -> String
  }

  let view: QuantizationView
  let judge: TensorJudge
  /// Share of the multiply-accumulates, 0 to 1.
  let budget: Double
  /// Tensors get the target's wide type instead of staying float.
  var widens = false
  let place: () throws -> PlacementPlan

  /// - Parameter start: the plan before any rescue, from which the budget counts; nil for `first`.
  /// - Returns: the plan with the picked tensors in float; `judge` says so of each.
  func run(_ first: PlacementPlan, by ranking: Ranking, since start: PlacementPlan? = nil) throws -> PlacementPlan {
    let counter = MultiplyAccumulates(view: view, judge: judge)
    var macs: [Node: Int] = [:]
    for node in view.nodes { macs[node] = counter.count(node) }
    func quantized(_ plan: PlacementPlan) -> Int {
      plan.outcomes.reduce(0) { $0 + ($1.value.isQuantized ? macs[$1.key] ?? 0 : 0) }
    }
    let total = macs.values.reduce(0, +)
    let allowed = Int(Double(total) * budget)
    if widens { return try widen(first, by: ranking, macs, allowed, total) }
    let before = quantized(start ?? first)
    var plan = first
    for (tensor, ratio) in candidates(first, ranking) {
      guard plan.quantizes(tensor, in: view) else { continue }
      judge.rescue(tensor, reason: ranking.sentence(ratio))
      let trial = try place()
      let cost = before - quantized(trial)
      let own = 100 * Double(quantized(plan) - quantized(trial)) / Double(max(total, 1))
      if cost <= allowed, ratio < ranking.limit - own * ranking.worth {
        plan = trial
        let share = total == 0 ? 0 : Double(before - quantized(plan)) / Double(total)
        judge.rescue(tensor, reason: "\(ranking.sentence(ratio)); \(Self.percent(share)) of the MACs are float so far")
      } else {
        judge.withdrawRescue(tensor)
      }
    }
    return try place()
  }

  /// The same with the wide type: the cost is what runs on it.
  private func widen(
    _ plan: PlacementPlan, by ranking: Ranking, _ macs: [Node: Int], _ allowed: Int, _ total: Int
  ) throws -> PlacementPlan {
    func cost() -> Int { WideKernels(plan, view: view, judge: judge).nodes.reduce(0) { $0 + (macs[$1] ?? 0) } }
    var groups = plan.groups
    let tensors = plan.activationTensors(view)
    for (tensor, ratio) in candidates(plan, ranking) where judge.widening(tensor) == nil {
      let root = groups.root(tensor)
      // What shares its scale has its type.
      let members = Set(tensors.filter { groups.root($0) === root })
      guard members.allSatisfy({ view.pairs[$0] == nil }) else { continue }
      let spent = cost()
      for member in members { judge.widen(member, reason: ranking.sentence(ratio)) }
      let trial = cost()
      let own = 100 * Double(trial - spent) / Double(max(total, 1))
      if trial <= allowed, ratio < ranking.limit - own * ranking.worth {
        let share = total == 0 ? 0 : Double(trial) / Double(total)
        for member in members {
          judge.widen(
            member, reason: "\(ranking.sentence(ratio)); \(Self.percent(share)) of the MACs are on 16 bits so far")
        }
      } else {
        for member in members { judge.withdrawWidening(member) }
      }
    }
    return plan
  }

  private func candidates(_ plan: PlacementPlan, _ ranking: Ranking) -> [(Value, Double)] {
    var seen = Set<Value>()
    var result: [(tensor: Value, ratio: Double, position: Int)] = []
    for tensor in plan.activationTensors(view) where seen.insert(tensor).inserted {
      guard let ratio = ranking.ratios[tensor], ratio < ranking.limit else { continue }
      result.append((tensor, ratio, result.count))
    }
    result.sort { ($0.ratio, $0.position) < ($1.ratio, $1.position) }
    return result.map { ($0.tensor, $0.ratio) }
  }

  static func percent(_ share: Double) -> String {
    let tenths = Int((share * 1000).rounded())
    return "\(tenths / 10).\(tenths % 10) %"
  }
}

extension Rescue.Ranking {
  /// Below this a typical channel keeps hardly more than three bits.
  static let smallestMedianSQNR = 22.0

  /// From the statistics alone.
  static func channelNoise(_ tensors: [Value], judge: TensorJudge) throws -> Self {
    var ratios: [Value: Double] = [:]
    for tensor in tensors {
      guard case .measured(let measured) = try judge.verdict(tensor), let statistics = judge.statistics(of: tensor),
        QuantizationScheme.format(of: measured.parameters.elementType) == nil,
        let ratio = ChannelNoise.medianSQNR(statistics, step: measured.parameters.scale)
      else { continue }
      ratios[tensor] = ratio
    }
    return Self(ratios: ratios, limit: smallestMedianSQNR) { ratio in
      let tenths = Int((ratio * 10).rounded())
      return "half of its channels are within \(tenths / 10).\(abs(tenths % 10)) dB of the noise of its grid"
    }
  }
}

extension PlacementPlan {
  /// Tensors on an activation grid, in the order of the plan; some more than once.
  func activationTensors(_ view: QuantizationView) -> [Value] {
    tensors.map(\.tensor) + edges.compactMap { $0.edge.node.input($0.edge.index).map(view.tensor) }
  }

  func quantizes(_ tensor: Value, in view: QuantizationView) -> Bool {
    activationTensors(view).contains { $0 === tensor }
  }
}
