import Glibc
import ONNXGraph
import ONNXTensor
import QuantCore

/// Gives the channels of a convolution's output one range, where one grid would drown most of them.
///
/// The weights and the bias of channel c are divided by a factor, and a Mul behind the convolution multiplies it back,
/// so the function stays what it was. The convolution can then write 8-bit integers on a grid that is
/// fine for every channel; what the Mul writes has the old, unequal channels, and may stay float at no cost in
/// multiply-accumulates. Factors are multiples of 1/255 up to 1: an 8-bit grid represents them exactly.
package struct EqualizeChannels {
  /// Convolutions with a smaller share of the multiply-accumulates are left to the rescue: float costs little there.
  static let smallestShare = 0.005
  /// Tensors whose typical channel stands this many dB above the noise of its grid stay as they are.
  static let largestRatio = 26.0
  /// What a typical channel must gain, in dB.
  static let smallestGain = 6.0
  private static let steps = 255.0
  private static let fewestSteps = 4.0

  package struct Result {
    package var journal: [JournalEntry] = []
    /// The range of each equalized tensor.
    var ranges: [Value: ValueRange] = [:]
    /// What statistics call what has the same shape.
    var names: [Value: String] = [:]
    /// What the Mul behind each writes.
    var outputs: [Value] = []
  }

  let options: InsertionOptions
  let statistics: ModelStatistics
  let names: [Value: String]

  package init(_ options: InsertionOptions, statistics: ModelStatistics, names: [Value: String] = [:]) {
    self.options = options
    self.statistics = statistics
    self.names = names
  }

  package func run(on model: Model) throws -> Result {
    var result = Result()
    guard options.target.equalizes, options.rescueBudget != nil, options.folding == .all else { return result }
    let selection = try InsertQDQ.Selection(options, in: model.graph)
    let view = QuantizationView(model.graph)
    let judge = TensorJudge(
      view, statistics: statistics, options: options, excluded: selection.excluded.tensors, names: names)
    let counter = MultiplyAccumulates(view: view, judge: judge)
    let total = view.nodes.reduce(0) { $0 + counter.count($1) }
    var unique = NameAuthority(model: model)
    var patch = GraphPatch(model)
    for node in view.nodes where node.isStandard("Conv") && selection.contains(node) {
      guard Double(counter.count(node)) >= Self.smallestShare * Double(max(total, 1)),
        let convolution = Convolution(node, view: view), selection.overrides.tensors[convolution.output] == nil,
        case .measured(let measured) = try judge.verdict(convolution.output),
        let known = judge.statistics(of: convolution.output),
        let before = ChannelNoise.medianSQNR(known, step: measured.parameters.scale),
        before < Self.largestRatio,
        let equal = try equalized(convolution, known, measured), equal.ratio >= before + Self.smallestGain
      else { continue }
      let value = convolution.add(equal.factors, to: &patch, names: &unique, gain: equal.ratio - before)
      result.outputs.append(convolution.output)
      result.ranges[value] = equal.range
      result.names[value] = names[convolution.output] ?? convolution.output.name
    }
    result.journal = try patch.apply()
    return result
  }

  private struct Equal {
    var factors: [Double]
    var range: ValueRange
    /// Of a typical channel to the noise of the grid, in dB.
    var ratio: Double
  }

  /// The factors that leave the channels the most signal, among those for several shares of the range below zero.
  private func equalized(
    _ convolution: Convolution, _ known: TensorStatistics, _ measured: TensorJudge.Measured
  ) throws -> Equal? {
    guard let channels = known.channels(axis: 1)?.channels, let variances = channels.variances,
      channels.count == convolution.channels, let widest = variances.max(), widest > 0
    else { return nil }
    // What readers cannot tell apart needs no codes in any channel.
    let ranges = (0..<channels.count).map { channel in
      (
        lower: Double(min(0, max(channels.minima[channel], measured.range.lower))),
        upper: Double(max(0, min(channels.maxima[channel], measured.range.upper)))
      )
    }
    let lit = variances.indices.filter { variances[$0] > widest * 0x1p-40 }
    var best: (equal: Equal, sum: Double)?
    for share in [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20] {
      let widths = ranges.map { max($0.upper, share == 0 ? -$0.lower : -$0.lower / share) }
      guard let largest = widths.max(), largest > 0 else { continue }
      let factors = widths.map {
        min(max(($0 / largest * Self.steps).rounded(.up), Self.fewestSteps), Self.steps) / Self.steps
      }
      let range = ValueRange(
        Float(zip(ranges, factors).map { $0.lower / $1 }.min() ?? 0),
        Float(zip(ranges, factors).map { $0.upper / $1 }.max() ?? 0))
      let step = Double(try options.target.activations.parameters(for: range).scale)
      let ratios = lit.map { channel in
        10 * log10(12 * variances[channel] / (factors[channel] * factors[channel] * step * step))
      }.sorted()
      let sum = ratios.reduce(0, +)
      if best == nil || sum > best?.sum ?? 0 {
        best = (Equal(factors: factors, range: range, ratio: ratios[ratios.count / 2]), sum)
      }
    }
    return best?.equal
  }
}

/// A convolution whose output channels can be scaled.
private struct Convolution {
  /// Activations, and Mul for SiLU.
  static let readers: Set<String> = [
    "Sigmoid", "Mul", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Gelu", "Mish", "Softplus", "Elu", "LeakyRelu",
  ]

  let node: Node
  let output: Value
  let weight: Tensor
  let bias: Tensor?
  var channels: Int { weight.shape[0] }

  init?(_ node: Node, view: QuantizationView) {
    let graph = view.graph
    /// Constants that nobody else reads can be changed in place.
    func own(_ value: Value?) -> Tensor? {
      guard let value, value.uses.count == 1, graph.initializer(for: value) != nil, !graph.isOutput(value),
        let tensor = view.constants.tensor(value), tensor.elementType == .float32
      else { return nil }
      return tensor
    }
    guard let weight = own(node.input(1)), weight.rank >= 3, weight.shape[0] > 0, let output = node.output(0),
      view.pairs[output] == nil, !view.outputs.contains(output)
    else { return nil }
    bias = own(node.input(2))
    guard node.input(2) == nil || bias?.shape == [weight.shape[0]] else { return nil }
    // An integer kernel that reads the product would be float with it.
    guard !output.uses.isEmpty, output.uses.allSatisfy({ $0.node.isStandard && Self.readers.contains($0.node.opType) })
    else { return nil }
    (self.node, self.output, self.weight) = (node, output, weight)
  }

  /// Returns the tensor with equal channels.
  func add(_ factors: [Double], to patch: inout GraphPatch, names: inout NameAuthority, gain: Double) -> Value {
    let block = weight.count / channels
    let exact = weight.array(Float.self)
    let scaled = Tensor(
      exact.indices.map { Float(Double(exact[$0]) / factors[$0 / block]) }, shape: weight.shape)
    var edits: [GraphPatch.Edit] = []
    if let value = node.input(1) {
      edits.append(.replaceInitializer(value, TensorLiteral(name: value.name, scaled)))
    }
    if let value = node.input(2), let bias {
      let shifted = zip(bias.array(Float.self), factors).map { Float(Double($0) / $1) }
      edits.append(.replaceInitializer(value, TensorLiteral(name: value.name, Tensor(shifted, shape: bias.shape))))
    }
    let equal = Value(names.unique("\(output.name)_equalized"), type: output.type)
    let shape = [channels] + [Int](repeating: 1, count: weight.rank - 2)
    let constant = Value(names.unique("\(output.name)_factors"), type: .tensor(.float32, shape))
    edits.append(
      .addInitializer(
        constant, TensorLiteral(name: constant.name, Tensor(factors.map { Float($0) }, shape: shape))))
    edits.append(.setOutput(node, 0, equal))
    edits.append(
      .insert(
        NodeBlueprint(
          "Mul", name: names.unique("\(output.name)_Equalize"), inputs: [equal, constant], outputs: [output]),
        .after(node)))
    patch.add(
      JournalEntry(
        rule: "F08",
        reason:
          "its channels differ so much in range that one grid drowns half of them; a Mul behind it multiplies the "
          + "factors back",
        subject: .node(node.label),
        action: "channels equalized: a typical one gains \(Int(gain.rounded())) dB"),
      edits)
    return equal
  }
}
