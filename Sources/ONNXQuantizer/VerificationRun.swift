import FloatExecution
import FloatKernels
import IntegerExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantCalibration
import QuantPasses
import QuantVerification

/// What a verification demands; a model that falls short fails.
public struct VerificationDemands: Sendable {
  /// Least SQNR of each output against float, in decibels.
  public var minimumSQNR: Double?
  /// Least cosine of each output against float.
  public var minimumCosine: Double?
  /// Least share of samples with float's class, in percent.
  public var minimumAgreement: Double?
  /// Most points of top-1 accuracy lost against float.
  public var maximumDrop: Double?

  /// No demands; a run then holds the standard ones.
  public init() {}

  /// What holds where nothing is demanded: 10 dB, and 80 % agreement for classifiers.
  public static let standard: VerificationDemands = {
    var demands = VerificationDemands()
    demands.minimumSQNR = VerificationThresholds.standard.minimumSQNR
    demands.minimumAgreement = VerificationThresholds.standard.minimumAgreement
    return demands
  }()

  var thresholds: VerificationThresholds {
    let given = VerificationThresholds(
      minimumSQNR: minimumSQNR, minimumCosine: minimumCosine, minimumAgreement: minimumAgreement,
      maximumDrop: maximumDrop)
    return given.isEmpty ? .standard : given
  }
}

/// Runs the float model, its Q/DQ form and the integer executor on the same data and compares them.
public struct VerificationRun {
  /// The data that the forms are compared on.
  public var data: DataOptions
  /// `file,class` lines, a `.npy`, or `file.npz:key`.
  public var labels: String?
  /// Outputs of another program on the same samples: a `.npy` for the first output, an `.npz` by output names.
  public var reference: String?
  /// What a model must reach to pass.
  public var demands = VerificationDemands()
  /// Number of threads; nil for all processors. The result does not depend on it.
  public var threads: Int?

  /// A comparison on all of `data`, with the standard demands.
  public init(_ data: DataOptions) { self.data = data }

  /// Compares on every sample.
  ///
  /// - Parameter quantized: the Q/DQ form; nil compares the float model with the reference alone.
  /// - Parameter engine: built of the Q/DQ form; must give the same bytes as lowering it.
  /// - Throws: `QuantizerError` of kind `badInput`; a model that falls short is a result, not an error.
  public func run(
    _ model: ModelFile, quantized: ModelFile?, engine: ModelFile? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(QuantizerError) -> VerificationResult {
    try folding(quantized?.path ?? model.path) {
      let samples = try data.open(for: model.model)
      let classes = try labels.map { try Labels(path: $0).labels(for: samples) }
      let expected = try reference.map { try ReferenceOutputs($0, outputs: model.outputs.map(\.name)) }
      let pool = threads.map { ThreadPool(threads: $0) } ?? ThreadPool()
      if let quantized {
        let names = (Set(model.inputs.map(\.name)), Set(quantized.inputs.map(\.name)))
        guard names.0 == names.1, model.outputs.map(\.name) == quantized.outputs.map(\.name) else {
          throw QuantizerError(
            .badInput, "\(quantized.path) has other inputs or outputs than \(model.path): it is not its Q/DQ form")
        }
      }

      let float = try FloatExecutor(model: model.model, threads: pool)
      let simulated = try quantized.map { try FloatExecutor(model: $0.model, threads: pool) }
      let integer = try quantized.map {
        try IntegerExecutor(model: $0.model, options: IntegerOptions(countsTies: true), threads: pool)
      }
      let twin = try engine.map { try EngineTwin($0, of: quantized, threads: pool) }
      var ties = 0
      var macs = VerificationReport.Macs(total: 0, integer: 0)
      let verification = Verification(
        float: .init(executor: float), fakeQuant: simulated.map { .init(executor: $0) },
        integer: integer.map { executor in
          .init { inputs, _ in
            let outputs: [String: RuntimeValue] = try executor.run(inputs)
            ties += executor.statistics.ties
            macs.total += executor.statistics.macs
            macs.integer += executor.statistics.integerMacs
            try twin?.compare(inputs, with: outputs)
            return outputs.compactMapValues(\.tensor)
          }
        },
        outputNames: model.outputs.map(\.name),
        tensorPairs: quantized.map { Verification.tensorPairs(float: model.model, quantized: $0.model) } ?? [])

      var index = 0
      var report = try verification.run(
        next: {
          guard index < samples.count else { return nil }
          defer { index += 1 }
          let inputs = try samples.load(index).mapValues { RuntimeValue.tensor($0) }
          return Verification.Sample(
            inputs: inputs, labels: classes?[index].map { [$0] },
            reference: try expected?.sample(index, of: samples) ?? [:])
        }, progress: { progress($0, samples.count) })
      if let integer {
        report.macs = macs
        report.ties = ties
        report.floatIslands = integer.statistics.islands.map {
          .init(node: $0.node, opType: $0.opType, macs: $0.macs, reason: $0.reason)
        }
      }
      report.judge(demands.thresholds)
      if let failure = twin?.failure { report.failures.append(failure) }
      var result = VerificationResult(
        report, model: model.path, quantized: quantized?.path,
        target: quantized.flatMap { ProvenanceStamp($0.model)?.target }, data: data.path)
      result.engine = twin.map { .init(file: $0.path, rounding: $0.rounding, differing: $0.differing) }
      return result
    }
  }
}

extension Verification.Subject {
  init(executor: FloatExecutor) {
    let names = executor.model.tensorNames
    self.init { inputs, observe in
      let outputs: [String: RuntimeValue] = try executor.run(
        inputs,
        tap: observe.map { observe in { value, result in result.tensor.map { observe(names[value] ?? value.name, $0) } }
        })
      return outputs.compactMapValues(\.tensor)
    }
  }
}

/// Outputs that another program computed for a data set, stacked along axis 0.
private struct ReferenceOutputs {
  private let path: String
  private let tensors: [String: Tensor]

  init(_ path: String, outputs: [String]) throws {
    self.path = path
    var tensors: [String: Tensor] = [:]
    for (name, value) in try NamedTensors.load(path) {
      guard let tensor = value.tensor, tensor.rank >= 1, tensor.floats != nil else {
        throw QuantizerError(.badInput, "\(path): reference outputs are stacked arrays of numbers")
      }
      if let name {
        guard outputs.contains(name) else {
          throw QuantizerError(.badInput, "\(path): the model has no output '\(name)'; its outputs are \(outputs)")
        }
        tensors[name] = tensor
      } else if let first = outputs.first {
        tensors[first] = tensor
      }
    }
    self.tensors = tensors
  }

  /// The rows of one sample; all samples have equally many.
  func sample(_ index: Int, of data: DataSet) throws -> [String: Tensor] {
    let total = data.options.limit == nil ? data.totalCount : nil
    let position = index * data.options.shardCount + data.options.shard
    return try tensors.mapValues { tensor in
      let rows = total.map { tensor.shape[0] / max($0, 1) } ?? 1
      guard rows > 0, (position + 1) * rows <= tensor.shape[0], total.map({ $0 * rows == tensor.shape[0] }) ?? true
      else {
        throw QuantizerError(
          .badInput, "\(path): \(tensor.shape[0]) reference rows do not fit \(data.totalCount) samples")
      }
      return tensor.rows(position * rows..<(position + 1) * rows)
    }
  }
}
