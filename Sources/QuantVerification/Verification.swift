import ONNXGraph
import ONNXTensor

/// Runs the forms of a model side by side on the same samples and compares them.
package struct Verification {
  /// One form of the model: a name for errors, and how to run it while seeing its tensors.
  package struct Subject {
    package typealias Observer = (_ name: String, _ tensor: Tensor) -> Void
    package var run: (_ inputs: [String: RuntimeValue], _ observe: Observer?) throws -> [String: Tensor]

    package init(run: @escaping (_ inputs: [String: RuntimeValue], _ observe: Observer?) throws -> [String: Tensor]) {
      self.run = run
    }
  }

  package struct Sample {
    package var inputs: [String: RuntimeValue]
    /// Class per row of the batch.
    package var labels: [Int]?
    /// Outputs that another program computed, by name.
    package var reference: [String: Tensor]

    package init(inputs: [String: RuntimeValue], labels: [Int]? = nil, reference: [String: Tensor] = [:]) {
      self.inputs = inputs
      self.labels = labels
      self.reference = reference
    }
  }

  package var float: Subject
  package var fakeQuant: Subject?
  package var integer: Subject?
  /// Graph outputs in order.
  package var outputNames: [String]
  /// Tensors of the Q/DQ model (after the DQ) and the float tensors they stand for.
  package var tensorPairs: [(quantized: String, float: String)]

  package init(
    float: Subject, fakeQuant: Subject?, integer: Subject?, outputNames: [String],
    tensorPairs: [(quantized: String, float: String)]
  ) {
    self.float = float
    self.fakeQuant = fakeQuant
    self.integer = integer
    self.outputNames = outputNames
    self.tensorPairs = tensorPairs
  }

  /// Compares on all samples; the verdict is left to `judge`.
  ///
  /// - Parameter next: gives the next sample, nil at the end.
  /// - Parameter progress: called after each sample.
  package func run(
    next: () throws -> Sample?, progress: (Int) -> Void = { _ in }
  ) throws -> VerificationReport {
    var report = VerificationReport()
    var outputs: [String: [VerificationReport.Pair: ErrorMetrics]] = [:]
    var tensors = [ErrorMetrics](repeating: ErrorMetrics(), count: tensorPairs.count)
    var hits = Tally()
    var agreements = Tally()
    let wanted = Set(tensorPairs.map(\.float))
    let rank = Dictionary(grouping: tensorPairs.indices, by: { tensorPairs[$0].quantized })

    while let sample = try next() {
      report.samples += 1
      // A tensor of a loop is seen once in each round.
      var floatTensors: [String: [[Float]]] = [:]
      var rounds: [Int: Int] = [:]
      let expected = try float.run(
        sample.inputs,
        fakeQuant == nil
          ? nil
          : { name, tensor in if wanted.contains(name) { floatTensors[name, default: []].append(tensor.floats ?? []) } }
      )
      let simulated = try fakeQuant?.run(sample.inputs) { name, tensor in
        for index in rank[name] ?? [] {
          let round = rounds[index, default: 0]
          rounds[index] = round + 1
          guard let seen = floatTensors[tensorPairs[index].float], round < seen.count, let values = tensor.floats,
            values.count == seen[round].count
          else { continue }
          let reference = seen[round]
          tensors[index].add(reference: reference, candidate: values)
        }
      }
      let computed = try integer?.run(sample.inputs, nil)
      for name in outputNames {
        func compare(_ pair: VerificationReport.Pair, _ left: Tensor?, _ right: Tensor?) throws {
          guard let left, let right, let x = left.floats, let y = right.floats else { return }
          guard x.count == y.count else {
            throw VerificationError(
              "output '\(name)' has shape \(left.shape) on one side and \(right.shape) on the other (\(pair.rawValue))")
          }
          outputs[name, default: [:]][pair, default: ErrorMetrics()].add(reference: x, candidate: y)
        }
        try compare(.referenceFloat, sample.reference[name], expected[name])
        try compare(.floatFakeQuant, expected[name], simulated?[name])
        try compare(.floatInteger, expected[name], computed?[name])
        try compare(.fakeQuantInteger, simulated?[name], computed?[name])
      }
      if let name = outputNames.first, let classes = expected[name].flatMap(Classification.topOne) {
        let fake = simulated?[name].flatMap(Classification.topOne)
        let whole = computed?[name].flatMap(Classification.topOne)
        agreements.add(classes, fake, whole, truth: classes)
        if let labels = sample.labels { hits.add(classes, fake, whole, truth: labels) }
      }
      progress(report.samples)
    }

    for name in outputNames {
      for pair in [
        VerificationReport.Pair.referenceFloat, .floatFakeQuant, .floatInteger, .fakeQuantInteger,
      ] {
        if let metrics = outputs[name]?[pair] { report.outputs.append(.init(name: name, pair: pair, metrics: metrics)) }
      }
    }
    report.tensors = zip(tensorPairs, tensors).filter { $0.1.count > 0 }
      .map { .init(name: $0.0.float, pair: .floatFakeQuant, metrics: $0.1) }
      .sorted { ($0.metrics.sqnr, $0.name) < ($1.metrics.sqnr, $1.name) }
    if hits.total > 0 {
      report.topOne = hits.rates
      report.labelled = hits.total
    }
    if agreements.total > 0 {
      var rates = agreements.rates
      rates.float = nil
      report.agreement = rates
    }
    return report
  }

  private struct Tally {
    var total = 0
    private var float = 0
    private var fakeQuant: Int?
    private var integer: Int?

    mutating func add(_ float: [Int], _ fakeQuant: [Int]?, _ integer: [Int]?, truth: [Int]) {
      func hits(_ classes: [Int]) -> Int { zip(classes, truth).count { $0 == $1 } }
      total += min(float.count, truth.count)
      self.float += hits(float)
      if let fakeQuant { self.fakeQuant = (self.fakeQuant ?? 0) + hits(fakeQuant) }
      if let integer { self.integer = (self.integer ?? 0) + hits(integer) }
    }

    var rates: VerificationReport.Rates {
      func percent(_ hits: Int) -> Double { 100 * Double(hits) / Double(max(total, 1)) }
      return .init(float: percent(float), fakeQuant: fakeQuant.map(percent), integer: integer.map(percent))
    }
  }
}

/// Why a comparison cannot be made.
package struct VerificationError: Error, CustomStringConvertible {
  package let message: String
  package init(_ message: String) { self.message = message }
  package var description: String { message }
}
