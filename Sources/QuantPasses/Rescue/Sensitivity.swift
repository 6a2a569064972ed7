import FloatExecution
import FloatKernels
import ONNXGraph
import ONNXTensor
import QuantCore

/// Measures, on real samples, what the grids of tensors do to the outputs of a model.
///
/// Weights stay float; pairs of QuantizeLinear and DequantizeLinear are put on tensors for the time of a trial. Each trial
/// takes as many runs as there are samples, so their number is bounded by the work that a run is; which tensors are left
/// out, and how many samples are used, depends on the model alone.
package struct Sensitivity {
  /// Multiply-accumulates of all trials of a round together.
  static let work = 3e11
  static let mostTensors = 128
  static let mostSamples = 4
  /// For the few trials that compare methods.
  static let mostSamplesTogether = 16

  /// Number of samples there are.
  let count: Int
  let load: (Int) throws -> [String: RuntimeValue]
  let threads: ThreadPool
  /// How many tensors are measured, of how many.
  let progress: (Int, Int) -> Void

  package init(
    count: Int, threads: ThreadPool = .serial, load: @escaping (Int) throws -> [String: RuntimeValue],
    progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) {
    self.count = count
    self.threads = threads
    self.load = load
    self.progress = progress
  }

  struct Candidate {
    let tensor: Value
    let parameters: QuantizationParameters
  }

  /// Signal over error at the outputs, in dB, where one tensor alone is on its grid: for as many candidates, from the
  /// first, as the work allows.
  ///
  /// Where a model has several outputs, errors are added up in shares of each output's signal. Empty where no output is a
  /// float.
  func alone(_ candidates: [Candidate], of model: Model, macs: Int) throws -> [Value: Double] {
    let bench = try Bench(self, model: model, candidates: candidates, macs: macs)
    return try bench.measure { candidate in
      let pairs = try Pairs([candidate], in: model)
      let ratio = try bench.ratio()
      try pairs.undo()
      return ratio
    }
  }

  /// Signal over error at the outputs, in dB, where all tensors are on their grids.
  func together(_ candidates: [Candidate], of model: Model, macs: Int) throws -> Double? {
    let bench = try Bench(
      self, model: model, candidates: candidates, macs: macs, mostSamples: Self.mostSamplesTogether)
    let pairs = try Pairs(candidates, in: model)
    defer { try? pairs.undo() }
    return try bench.ratio()
  }

  /// What the outputs lose, in dB and as a number below zero, by the grid of each tensor beside those of all others.
  func beside(_ candidates: [Candidate], of model: Model, macs: Int) throws -> [Value: Double] {
    let bench = try Bench(self, model: model, candidates: candidates, macs: macs)
    let pairs = try Pairs(candidates, in: model)
    defer { try? pairs.undo() }
    guard let all = try bench.ratio() else { return [:] }
    return try bench.measure { candidate in
      try pairs.bypass(candidate.tensor)
      let ratio = try bench.ratio()
      try pairs.restore(candidate.tensor)
      return ratio.map { all - $0 }
    }
  }

  /// The samples and what float makes of them.
  private struct Bench {
    let sensitivity: Sensitivity
    let model: Model
    let tensors: ArraySlice<Candidate>
    let inputs: [[String: RuntimeValue]]
    let expected: [[[Float]]]

    init(
      _ sensitivity: Sensitivity, model: Model, candidates: [Candidate], macs: Int,
      mostSamples: Int = Sensitivity.mostSamples
    ) throws {
      self.sensitivity = sensitivity
      self.model = model
      let count = sensitivity.count
      let runs = Int(min(Sensitivity.work / Double(max(macs, 1)), 1e6))
      let samples = min(
        max(runs / Sensitivity.mostTensors, 1) * mostSamples / Sensitivity.mostSamples, mostSamples, count)
      tensors = candidates.prefix(min(max(runs / max(samples, 1), 8), Sensitivity.mostTensors))
      inputs = try (0..<samples).map { try sensitivity.load($0 * count / samples) }
      expected = try sensitivity.results(model, inputs)
    }

    func ratio() throws -> Double? { Sensitivity.ratio(expected, try sensitivity.results(model, inputs)) }

    func measure(_ trial: (Candidate) throws -> Double?) throws -> [Value: Double] {
      var ratios: [Value: Double] = [:]
      for (index, candidate) in tensors.enumerated() {
        ratios[candidate.tensor] = try trial(candidate)
        sensitivity.progress(index + 1, tensors.count)
      }
      return ratios
    }
  }

  private func results(_ model: Model, _ inputs: [[String: RuntimeValue]]) throws -> [[[Float]]] {
    let executor = try FloatExecutor(model: model, threads: threads)
    return try inputs.map { sample in
      let outputs: [String: RuntimeValue] = try executor.run(sample)
      return model.graph.outputs.map { port in
        guard let tensor = outputs[port.value.name]?.tensor, tensor.elementType.isFloatingPoint else { return [] }
        return tensor.floats ?? []
      }
    }
  }

  /// nil where there is nothing to compare.
  private static func ratio(_ expected: [[[Float]]], _ changed: [[[Float]]]) -> Double? {
    guard let outputs = expected.first?.count else { return nil }
    var shares: [Double] = []
    for output in 0..<outputs {
      var (signal, noise) = (0.0, 0.0)
      for (before, after) in zip(expected, changed) where before[output].count == after[output].count {
        for (x, y) in zip(before[output], after[output]) where x.isFinite && y.isFinite {
          signal += Double(x) * Double(x)
          noise += (Double(x) - Double(y)) * (Double(x) - Double(y))
        }
      }
      if signal > 0 { shares.append(noise / signal) }
    }
    guard !shares.isEmpty else { return nil }
    return decibels(signal: Double(shares.count), noise: shares.reduce(0, +))
  }

  /// Pairs on tensors of the main graph, for a while.
  private struct Pairs {
    private let model: Model
    private var results: [Value: Value] = [:]
    private var edges: [Value: [Edge]] = [:]
    private var nodes: [Node] = []
    private var constants: [Value] = []

    init(_ candidates: [Candidate], in model: Model) throws {
      self.model = model
      let members = Set(model.graph.nodes)
      var names = NameAuthority(model: model)
      var patch = GraphPatch(model)
      var added: [Value] = []
      for candidate in candidates {
        let (tensor, grid) = (candidate.tensor, candidate.parameters)
        let scale = Value(names.unique("trial_scale"), type: .tensor(.float32, []))
        let zeroPoint = Value(names.unique("trial_zero_point"), type: .tensor(grid.elementType, []))
        patch.append(.addInitializer(scale, TensorLiteral(name: scale.name, Tensor(scalar: grid.scale))))
        patch.append(
          .addInitializer(zeroPoint, TensorLiteral(name: zeroPoint.name, try grid.zeroPointTensor(shape: []))))
        let codes = Value(names.unique("trial_codes"), type: ValueType(tensor.type, elementType: grid.elementType))
        let result = Value(names.unique("trial_result"), type: tensor.type)
        let readers = tensor.uses.filter { members.contains($0.node) }.map { Edge(node: $0.node, index: $0.index) }
        let position: GraphPatch.Position =
          tensor.producer.flatMap { members.contains($0) ? .after($0) : nil } ?? .front
        let quantize = NodeBlueprint("QuantizeLinear", inputs: [tensor, scale, zeroPoint], outputs: [codes])
        let dequantize = NodeBlueprint("DequantizeLinear", inputs: [codes, scale, zeroPoint], outputs: [result])
        patch.append(.insert(quantize, position))
        patch.append(.insert(dequantize, position))
        for edge in readers { patch.append(.setInput(edge.node, edge.index, result)) }
        results[tensor] = result
        edges[tensor] = readers
        constants += [scale, zeroPoint]
        added += [result, codes]
      }
      _ = try patch.apply()
      nodes = added.compactMap(\.producer)
    }

    /// The readers of the tensor read it in float.
    func bypass(_ tensor: Value) throws { try rewire([tensor], to: { $0 }) }

    func restore(_ tensor: Value) throws { try rewire([tensor], to: { results[$0] ?? $0 }) }

    private func rewire(_ tensors: [Value], to source: (Value) -> Value) throws {
      var patch = GraphPatch(model)
      for tensor in tensors {
        for edge in edges[tensor] ?? [] { patch.append(.setInput(edge.node, edge.index, source(tensor))) }
      }
      _ = try patch.apply()
    }

    func undo() throws {
      var patch = GraphPatch(model)
      for (tensor, readers) in edges { for edge in readers { patch.append(.setInput(edge.node, edge.index, tensor)) } }
      for node in nodes { patch.append(.remove(node)) }
      for value in constants { patch.append(.removeInitializer(value)) }
      _ = try patch.apply()
    }
  }
}

/// Rankings by measured errors; tensors that were not measured need no rescue.
struct RescueTrials {
  /// Alone, a tensor below this takes 1 % of the output's signal away.
  static let smallestRatio = 20.0
  /// What the outputs must gain by a tensor in float, in dB.
  static let smallestGain = 0.2
  /// And for each percent of the multiply-accumulates that this costs.
  static let gainPerPercent = 0.25

  let model: Model
  let judge: TensorJudge
  let types: FloatTypes
  let sensitivity: Sensitivity

  /// First the few that do the damage, found one by one: beside them the errors of the others do not show.
  func alone(_ tensors: [Value]) throws -> Rescue.Ranking {
    let ratios = try sensitivity.alone(candidates(tensors), of: model, macs: macs)
    return Rescue.Ranking(ratios: ratios, limit: Self.smallestRatio) { ratio in
      "its grid alone leaves the outputs \(Self.decibels(ratio))"
    }
  }

  /// Then those whose error weighs among the errors of all that are left.
  func left(_ tensors: [Value]) throws -> Rescue.Ranking {
    let ratios = try sensitivity.beside(candidates(tensors), of: model, macs: macs)
    return Rescue.Ranking(ratios: ratios, limit: -Self.smallestGain, worth: Self.gainPerPercent) { ratio in
      "without its grid the outputs gain \(Self.decibels(-ratio))"
    }
  }

  /// Signal over error at the outputs, in dB, with all tensors on their grids.
  func together(_ tensors: [Value]) throws -> Double? {
    try sensitivity.together(candidates(tensors), of: model, macs: macs)
  }

  private var macs: Int {
    let view = QuantizationView(model.graph)
    let counter = MultiplyAccumulates(view: view, judge: judge)
    return view.nodes.reduce(0) { $0 + counter.count($1) }
  }

  /// The most suspicious by their statistics first.
  private func candidates(_ tensors: [Value]) throws -> [Sensitivity.Candidate] {
    var seen = Set<Value>()
    var suspects: [(candidate: Sensitivity.Candidate, ratio: Double, position: Int)] = []
    for tensor in tensors where seen.insert(tensor).inserted && types[tensor] ?? .float32 == .float32 {
      guard case .measured(let measured) = try judge.verdict(tensor) else { continue }
      let ratio = judge.statistics(of: tensor).flatMap { statistics in
        ChannelNoise.medianSQNR(statistics, step: measured.parameters.scale)
          ?? statistics.predictedSQNR(on: measured.parameters)
      }
      suspects.append(
        (Sensitivity.Candidate(tensor: tensor, parameters: measured.parameters), ratio ?? .infinity, suspects.count))
    }
    suspects.sort { ($0.ratio, $0.position) < ($1.ratio, $1.position) }
    return suspects.map(\.candidate)
  }

  private static func decibels(_ ratio: Double) -> String {
    let tenths = Int((max(min(ratio, 1e6), -1e6) * 10).rounded())
    return "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10) dB"
  }
}
