import FloatExecution
import FloatKernels
import FoundationEssentials
import IntegerExecution
import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantCalibration

/// Runs a model on given inputs and keeps what comes out.
public struct Inference {
  /// The two executors.
  public enum Executor: String, Sendable, CaseIterable {
    /// The graph exactly as written; on a Q/DQ graph this is fake quantization.
    case float
    /// Lowered to integer arithmetic first.
    case integer
  }

  /// Who runs the model.
  public var executor = Executor.float
  /// Number of threads; nil for all processors. The outputs do not depend on it.
  public var threads: Int?
  /// Values inside the graph to give out besides the outputs.
  public var tensors: [String] = []

  /// The float executor on all processors.
  public init() {}

  /// The results of one or more runs, by tensor name.
  public struct Outputs {
    fileprivate var order: [String] = []
    fileprivate var values: [String: [Tensor]] = [:]

    /// Names in the order of the graph.
    public var names: [String] { order }

    /// Writes one `.npy` per tensor into a folder, runs stacked along axis 0. Characters that no file name has room for
    /// become `_`.
    ///
    /// - Returns: the paths.
    public func write(toFolder folder: String) throws(QuantizerError) -> [String] {
      try folding(folder) {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        return try order.map { name in
          let path = folder + "/" + name.map { $0 == "/" || $0 == "\0" ? "_" : String($0) }.joined() + ".npy"
          let bytes = try Self.encoded(values[name] ?? [], name: name)
          let file = try AtomicFile(replacing: path)
          try bytes.withUnsafeBytes { try file.write($0) }
          try file.commit()
          return path
        }
      }
    }

    /// Writes all tensors into `outputs.npz` in a folder, by name.
    ///
    /// - Returns: the path.
    public func writeArchive(toFolder folder: String) throws(QuantizerError) -> String {
      try folding(folder) {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/outputs.npz"
        let members = try order.map { name in
          (name: name + ".npy", bytes: try Self.encoded(values[name] ?? [], name: name))
        }
        let file = try AtomicFile(replacing: path)
        for piece in ArchiveWriter.encode(members) { try piece.withUnsafeBytes { try file.write($0) } }
        try file.commit()
        return path
      }
    }

    private static func encoded(_ tensors: [Tensor], name: String) throws -> [UInt8] {
      let tensor = try stacked(tensors, name: name)
      guard let bytes = NpyWriter.encode(tensor) else {
        throw QuantizerError(.badInput, "output '\(name)' is \(tensor.elementType.name), which .npy has no type for")
      }
      return bytes
    }

    /// Type and shape of a tensor as text; "" for an unknown name.
    public func summary(of name: String) -> String {
      guard let tensor = try? Self.stacked(values[name] ?? [], name: name) else { return "" }
      return "\(tensor.elementType.name)\(tensor.shape)"
    }

    private static func stacked(_ tensors: [Tensor], name: String) throws -> Tensor {
      guard let first = tensors.first else { throw QuantizerError(.badInput, "no value named '\(name)' was computed") }
      if tensors.count == 1 { return first }
      guard tensors.allSatisfy({ $0.elementType == first.elementType && $0.shape == first.shape }), first.rank > 0,
        first.strings == nil, first.elementType.bitWidth >= 8
      else {
        throw QuantizerError(.badInput, "'\(name)' has another shape in another sample: run the samples one by one")
      }
      let shape = [first.shape[0] * tensors.count] + first.shape.dropFirst()
      return Tensor(first.elementType, shape: shape) { bytes in
        for (index, tensor) in tensors.enumerated() {
          tensor.withBytes {
            UnsafeMutableRawBufferPointer(rebasing: bytes[(index * $0.count)..<((index + 1) * $0.count)]).copyMemory(
              from: $0)
          }
        }
      }
    }
  }

  /// Runs once on files: `FILE` by position, or `NAME=FILE`; `.npy`, `.pb`, or an `.npz` by its keys.
  public func run(_ model: ModelFile, files: [String]) throws(QuantizerError) -> Outputs {
    try folding(model.path) {
      let graph = model.model.graph
      let ports = graph.inputs
      var inputs: [String: RuntimeValue] = [:]
      var position = 0
      for argument in files {
        let (name, path) = split(argument, names: Set(ports.map(\.value.name)))
        let target = name ?? (position < model.inputs.count ? model.inputs[position].name : nil)
        let kind = ValueFile.Kind(ports.first { $0.value.name == target }?.info.type)
        let stored = try NamedTensors.load(path, kind: kind)
        if name == nil, path.hasSuffix(".npz") {
          for (key, value) in stored { if let key { inputs[key] = value } }
          continue
        }
        guard let target, let value = stored.first?.value else {
          throw QuantizerError(.badInput, "\(path): the model has only \(model.inputs.count) inputs")
        }
        inputs[target] = value
        position += 1
      }
      var outputs = Outputs()
      try runner(model)(inputs, &outputs)
      return outputs
    }
  }

  /// Runs on every sample of a data set.
  public func run(
    _ model: ModelFile, data: DataOptions, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(QuantizerError) -> Outputs {
    try folding(model.path) {
      let samples = try data.open(for: model.model)
      let run = try runner(model)
      var outputs = Outputs()
      for index in 0..<samples.count {
        try run(try samples.load(index).mapValues { .tensor($0) }, &outputs)
        progress(index + 1, samples.count)
      }
      return outputs
    }
  }

  private func split(_ argument: String, names: Set<String>) -> (name: String?, path: String) {
    for (index, character) in zip(argument.indices, argument) where character == "=" {
      let name = String(argument[..<index])
      if names.contains(name) { return (name, String(argument[argument.index(after: index)...])) }
    }
    return (nil, argument)
  }

  private func runner(_ model: ModelFile) throws -> ([String: RuntimeValue], inout Outputs) throws -> Void {
    let pool = threads.map { ThreadPool(threads: $0) } ?? ThreadPool()
    let wanted = Set(tensors)
    let known =
      model.engine?.plan.tappedNames ?? Set(model.model.graph.allGraphs.flatMap { $0.values.map(\.name) })
    for name in tensors where !known.contains(name) {
      throw QuantizerError(.usage, "\(model.path) has no tensor '\(name)'")
    }
    let names = model.outputs.map(\.name)
    let execute: ([String: RuntimeValue], TensorTap?) throws -> [String: RuntimeValue]
    switch executor {
    case .float:
      if model.isEngine {
        throw QuantizerError(.usage, "\(model.path) is an engine, which the integer executor runs")
      }
      let executor = try FloatExecutor(model: model.model, threads: pool)
      execute = { try executor.run($0, tap: $1) }
    case .integer:
      let executor = IntegerExecutor(
        plan: try model.engine?.plan ?? IntegerPlan(model: model.model), threads: pool)
      execute = { try executor.run($0, tap: $1) { wanted.contains($0.name) } }
    }
    return { inputs, outputs in
      var seen: [String: Tensor] = [:]
      let tap: TensorTap? =
        wanted.isEmpty
        ? nil
        : { value, result in if wanted.contains(value.name), let tensor = result.tensor { seen[value.name] = tensor } }
      let results = try execute(inputs, tap)
      outputs.order = names + self.tensors.filter { !names.contains($0) }
      for name in outputs.order {
        guard let tensor = results[name]?.tensor ?? seen[name] else {
          throw QuantizerError(.badInput, "'\(name)' is no tensor in this run (a sequence, or inside a fused region)")
        }
        outputs.values[name, default: []].append(tensor)
      }
    }
  }
}
