import ONNXGraph
import ONNXTensor
import QuantCore

/// How weights alone are quantized.
package struct WeightOnlyOptions: Sendable {
  package var elementType = ElementType.int4
  /// Weights along the axis of the sum that share a scale; nil for one scale per output channel.
  package var blockSize: Int?
  package var method = BlockQuantizer.Method.leastError
  package var target: TargetPreset
  package var includesEmbeddings = false
  package var missingData = InsertionOptions.MissingData.error
  /// The opset of the result; nil for the lowest that it needs.
  package var opset: Int?
  package var include: [Selector] = []
  package var exclude: [Selector] = []
  package var threads = 1

  package init(target: TargetPreset) { self.target = target }

  /// onnxruntime's own quantizer writes negative scales; other engines want them positive.
  var allowsNegativeScales: Bool { target.name.hasPrefix("onnxruntime") }
}

/// Where new weights go as they are made, so that they need not all be in memory.
package protocol WeightStore: AnyObject {
  func store(_ name: String, _ tensor: Tensor) throws -> TensorLiteral
  /// The bytes of a weight are not needed for now.
  func release(_ literal: TensorLiteral)
}

/// Keeps new weights in memory.
package final class MemoryWeightStore: WeightStore {
  package init() {}
  package func store(_ name: String, _ tensor: Tensor) -> TensorLiteral { TensorLiteral(name: name, tensor) }
  package func release(_ literal: TensorLiteral) {}
}

/// What became of one weight.
package struct WeightDecision: Sendable {
  package var tensor: String
  package var rule: PlacementRule
  package var reason: String
  package var elementType: ElementType?
  package var axis: Int?
  package var blockSize: Int?
  /// One per channel; nil for blocks, whose scales are in the model.
  package var scales: [Float]?
  package var zeroPoints: [Int32]?
  /// Signal over error of the stored weight in dB.
  package var sqnr: Double?
  package var bytesBefore = 0
  package var bytesAfter = 0
}

package struct WeightOnlyReport: Sendable {
  package var target: String
  package var decisions: [WeightDecision] = []
  package var nodes: [NodeOutcome] = []
  package var journal: [JournalEntry] = []
  package var isUnchanged = true
}

/// Stores constant weights in integers behind DequantizeLinear and touches nothing else.
///
///     y = MatMul(x, w)   ->   d = DequantizeLinear<axis, block_size>(w_quantized, w_scale)
///                             y = MatMul(x, d)
///
/// A weight behind a Transpose is stored before it. Nested graphs are included. A second run finds nothing to do.
package struct WeightOnly {
  let options: WeightOnlyOptions
  let store: any WeightStore

  package init(_ options: WeightOnlyOptions, store: any WeightStore = MemoryWeightStore()) {
    self.options = options
    self.store = store
  }

  package func run(on model: Model) throws -> WeightOnlyReport {
    var report = WeightOnlyReport(target: options.target.name)
    let search = try WeightSearch(model, options: options)
    report.nodes = search.outcomes
    report.decisions = search.floats
    guard !search.weights.isEmpty else { return report }
    report.journal += try raise(model, search.weights)
    var names = NameAuthority(model: model)
    var patches: [GraphPatch] = search.graphs.map { GraphPatch(model, graph: $0) }
    for weight in search.weights {
      let literal = weight.literal
      let made: StoredWeight
      do {
        made = try StoredWeight(weight, options)
      } catch let error as QuantizationError {
        guard error.code == .nonFinite, options.missingData == .float else {
          throw PassError(
            .notConvertible, "the weight '\(weight.value.name)' cannot be quantized: \(error.message)",
            advice: "leave it out with --exclude, or say --missing-data float")
        }
        report.decisions.append(
          WeightDecision(
            tensor: weight.value.name, rule: .nonFiniteWeight, reason: PlacementRule.nonFiniteWeight.sentence))
        for edge in weight.readers {
          guard let index = report.nodes.firstIndex(where: { $0.node == edge.node.label }) else { continue }
          report.nodes[index].isQuantized = false
          report.nodes[index].rule = .nonFiniteWeight
          report.nodes[index].reason = PlacementRule.nonFiniteWeight.sentence
        }
        store.release(literal)
        continue
      }
      store.release(literal)
      let decision = try insert(made, weight, &patches[weight.graph], &names)
      report.decisions.append(decision)
    }
    report.isUnchanged = patches.allSatisfy(\.isEmpty)
    for patch in patches { report.journal += try patch.apply() }
    return report
  }

  /// To the lowest opset that has the DequantizeLinear that is needed.
  private func raise(_ model: Model, _ weights: [WeightSearch.Weight]) throws -> [JournalEntry] {
    let isBlocked = options.blockSize != nil || weights.contains { $0.literal.dims.count != 2 }
    let version: Int
    if isBlocked || options.elementType.bitWidth < 8 {
      version = 21
    } else {
      version = weights.contains { $0.literal.elementType != .float32 } ? 19 : 13
    }
    return try SettleOpset(needed: version, requested: options.opset, target: options.target).run(on: model)
  }

  private func insert(
    _ made: StoredWeight, _ weight: WeightSearch.Weight, _ patch: inout GraphPatch, _ names: inout NameAuthority
  ) throws -> WeightDecision {
    let base = weight.value.name
    var edits: [GraphPatch.Edit] = []
    var bytes = 0
    func constant(_ suffix: String, _ tensor: Tensor) throws -> Value {
      let value = Value(names.unique("\(base)_\(suffix)"), type: .tensor(tensor.elementType, tensor.shape))
      edits.append(.addInitializer(value, try store.store(value.name, tensor)))
      bytes += tensor.byteCount
      return value
    }
    var inputs: [Value?] = [try constant("quantized", made.codes), try constant("scale", made.scales)]
    if let zeroPoints = made.zeroPoints { inputs.append(try constant("zero_point", zeroPoints)) }
    let output = Value(
      names.unique("\(base)_DequantizeLinear_Output"), type: .tensor(made.scales.elementType, made.codes.shape))
    var attributes = [Attribute("axis", int: made.axis)]
    if let block = made.blockSize { attributes.append(Attribute("block_size", int: block)) }
    let node = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: inputs, outputs: [output],
      attributes: attributes)
    let first = weight.readers.first { patch.graph.nodes.contains($0.node) }?.node
    edits.append(.insert(node, first.map { .before($0) } ?? .front))
    edits += weight.readers.map { .setInput($0.node, $0.index, output) }
    let rule = weight.isTable ? PlacementRule.storedTable : .storedWeight
    patch.add(
      JournalEntry(
        rule: rule.id, reason: rule.sentence, subject: .tensor(base),
        action: "stored as \(options.elementType.name)"), edits)
    removeSource(weight, &patch)
    let isChannel = made.blockSize == nil
    return WeightDecision(
      tensor: base, rule: rule, reason: rule.sentence, elementType: options.elementType, axis: made.axis,
      blockSize: made.blockSize, scales: isChannel ? made.scales.floats : nil,
      zeroPoints: isChannel
        ? made.zeroPoints?.integers?.map { Int32(clamping: $0) } ?? [Int32](repeating: 0, count: made.scales.count)
        : nil, sqnr: made.sqnr,
      bytesBefore: weight.literal.elementType?.byteCount(elements: weight.literal.elementCount ?? 0) ?? 0,
      bytesAfter: bytes)
  }

  private func removeSource(_ weight: WeightSearch.Weight, _ patch: inout GraphPatch) {
    let value = weight.value
    let readers = Set(weight.readers)
    let others = value.uses.filter { !readers.contains(Edge(node: $0.node, index: $0.index)) }
    if let other = others.first {
      if !weight.isRepeated {
        patch.note(
          JournalEntry(
            rule: PlacementRule.sharedWeight.id, reason: PlacementRule.sharedWeight.sentence,
            subject: .tensor(value.name), action: "float copy kept for \(other.node.label)"))
      }
      return
    }
    guard !patch.graph.isOutput(value) else { return }
    if patch.graph.initializer(for: value) != nil {
      if patch.graph.isInput(value) { patch.append(.removeGraphInput(value)) }
      patch.append(.removeInitializer(value))
    } else if let producer = value.producer {
      patch.append(.remove(producer))
    }
  }
}

/// A weight in integers, in the form that DequantizeLinear reads.
private struct StoredWeight {
  let codes: Tensor
  let scales: Tensor
  let zeroPoints: Tensor?
  let axis: Int
  /// nil for one scale per channel.
  let blockSize: Int?
  let sqnr: Double?

  init(_ weight: WeightSearch.Weight, _ options: WeightOnlyOptions) throws {
    let tensor = try weight.literal.tensor()
    let extent = tensor.shape[weight.axis]
    var quantizer = BlockQuantizer(
      elementType: options.elementType, axis: weight.axis, blockSize: options.blockSize ?? max(extent, 1))
    quantizer.method = options.method
    quantizer.scaleType = tensor.elementType
    quantizer.allowsNegativeScales = options.allowsNegativeScales
    let result = try quantizer.quantize(tensor, threads: options.threads)
    codes = result.codes
    sqnr = result.sqnr
    if options.blockSize == nil, tensor.rank == 2 {
      let channels = [tensor.shape[1 - weight.axis]]
      scales = result.scales.reshaped(channels)
      zeroPoints = result.zeroPoints?.reshaped(channels)
      axis = 1 - weight.axis
      blockSize = nil
    } else {
      scales = result.scales
      zeroPoints = result.zeroPoints
      axis = weight.axis
      blockSize = options.blockSize ?? extent
    }
  }
}
