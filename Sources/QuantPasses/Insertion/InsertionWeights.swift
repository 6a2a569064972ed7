import ONNXGraph
import ONNXTensor
import QuantCore

extension Insertion {
  struct WeightKey: Hashable {
    let value: Value
    let axis: Int?
    let scheme: QuantizationScheme
    /// Axis and length of blocks that share a scale.
    let block: Block?
  }

  struct Block: Hashable {
    let axis: Int
    let size: Int
  }

  mutating func quantizeWeights() throws {
    var users: [WeightKey: [PlacementPlan.Weight]] = [:]
    var order: [WeightKey] = []
    for weight in plan.weights {
      guard let value = weight.node.input(weight.index) else { continue }
      let entry = overrides.weights(value, of: weight.node)
      let scheme = entry?.weights?.applied(to: target.weights) ?? target.weights
      let axis = entry?.isPerChannel == false ? nil : weight.axis
      let block = block(weight, value, entry?.blockSize ?? target.blockSize)
      let key = WeightKey(value: value, axis: axis, scheme: scheme, block: block)
      if users[key] == nil { order.append(key) }
      users[key, default: []].append(weight)
    }
    for key in order {
      guard let readers = users[key], let first = readers.first, let stored = view.constants.tensor(key.value),
        let exact = stored.single
      else { continue }
      if let block = key.block {
        try quantizeInBlocks(key, block, readers, exact, stored.elementType)
        continue
      }
      let isFloat = QuantizationScheme.format(of: key.scheme.elementType) != nil
      let quantizer = WeightQuantizer(
        scheme: key.scheme, axis: key.axis,
        smallestScales: isFloat ? nil : smallestScales(readers, exact, axis: key.axis))
      let grid = try quantizer.parameters(for: exact).rounded(to: stored.elementType)
      let codes = try quantizer.quantize(exact, grid)
      let rounded = try grid.dequantize(codes)
      let rule = key.scheme.isReduced ? PlacementRule.reducedWeight : .weight
      let value = try insertConstant(
        key.value, codes, grid, stored.elementType, rule, before: first.node,
        reason: readers.count > 1 ? "\(readers.count) operators share it" : rule.sentence)
      for weight in readers {
        let edge = Edge(node: weight.node, index: weight.index)
        rewire(edge, to: value)
        roundedWeights[edge] = (exact, rounded, grid)
      }
      report.decisions.append(
        Decision(
          tensor: key.value.name, rule: rule, reason: rule.sentence, parameters: grid,
          method: "weights"))
    }
  }

  /// Blocks lie along the sum of a matrix product; convolutions have one scale per channel all the same.
  private func block(_ weight: PlacementPlan.Weight, _ value: Value, _ size: Int?) -> Block? {
    guard let size, weight.node.isStandard("MatMul", "Gemm"), let rank = view.constants.shape(value)?.count, rank >= 2
    else { return nil }
    let isTransposed = weight.node.opType == "Gemm" && weight.node.int("transB") ?? 0 != 0
    return Block(axis: isTransposed ? rank - 1 : rank - 2, size: size)
  }

  private mutating func quantizeInBlocks(
    _ key: WeightKey, _ block: Block, _ readers: [PlacementPlan.Weight], _ exact: Tensor, _ type: ElementType
  ) throws {
    guard let first = readers.first else { return }
    var quantizer = BlockQuantizer(elementType: key.scheme.elementType, axis: block.axis, blockSize: block.size)
    quantizer.scaleType = type
    let made = try quantizer.quantize(exact)
    let base = key.value.name
    let (scale, scaleEdit) = constant("\(base)_scale", made.scales)
    let zeros =
      made.zeroPoints
      ?? Tensor(
        codes: [UInt8](repeating: 0, count: made.scales.count), elementType: key.scheme.elementType,
        shape: made.scales.shape)
    let (zeroPoint, zeroEdit) = constant("\(base)_zero_point", zeros)
    let (stored, edit) = constant("\(base)_quantized", made.codes)
    let result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: .tensor(type, exact.shape))
    let dequantize = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [stored, scale, zeroPoint],
      outputs: [result],
      attributes: [Attribute("axis", int: block.axis), Attribute("block_size", int: block.size)])
    patch.add(
      JournalEntry(
        rule: PlacementRule.weight.id, reason: PlacementRule.weight.sentence, subject: .tensor(base),
        action: "stored as \(key.scheme.elementType.name) in blocks of \(block.size)"),
      [edit, scaleEdit, zeroEdit, .insert(dequantize, .before(first.node))])
    report.pairs += 1
    let rounded = made.dequantized(blockAxis: block.axis, blockSize: block.size)
    for weight in readers {
      let edge = Edge(node: weight.node, index: weight.index)
      rewire(edge, to: result)
      roundedWeights[edge] = (exact, rounded, nil)
    }
    var decision = Decision(
      tensor: base, rule: .weight, reason: PlacementRule.weight.sentence,
      parameters: QuantizationParameters(
        elementType: key.scheme.elementType, scales: made.scales.floats ?? [],
        zeroPoints: zeros.integers?.map { Int32(clamping: $0) } ?? [], axis: block.axis), method: "weights")
    decision.blockSize = block.size
    report.decisions.append(decision)
  }

  /// Codes as an initializer behind DequantizeLinear.
  mutating func insertConstant(
    _ old: Value, _ codes: Tensor, _ grid: QuantizationParameters, _ type: ElementType, _ rule: PlacementRule,
    before node: Node, reason: String
  ) throws -> Value {
    let base = old.name
    let (scale, zeroPoint, edits) = try gridValues(base, grid, type)
    let (stored, edit) = constant("\(base)_quantized", codes)
    let result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: .tensor(type, codes.shape))
    let dequantize = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [stored, scale, zeroPoint],
      outputs: [result], attributes: grid.axis.map { [Attribute("axis", int: $0)] } ?? [])
    patch.add(
      JournalEntry(rule: rule.id, reason: reason, subject: .tensor(base), action: "stored as \(grid.elementType.name)"),
      [edit] + edits + [.insert(dequantize, .before(node))])
    report.pairs += 1
    return result
  }

  /// What the bias needs in an integer kernel, stored as int32 or as float: |b| must be within 2^30 steps of s_x·s_w, which
  /// leaves room for the products, and s_x·s_w must be a normal number. Weights of a channel that this coarsens are too
  /// small to matter beside its bias.
  func smallestScales(_ readers: [PlacementPlan.Weight], _ exact: Tensor, axis: Int?) -> [Float]? {
    let channels = axis.map { exact.shape[$0] } ?? 1
    var smallest = [Float](repeating: 0, count: channels)
    for weight in readers {
      guard let operation = plan.weighted.first(where: { $0.node == weight.node }),
        let input = weight.node.input(operation.input), let grid = grid(of: view.tensor(input), readBy: weight.node),
        grid.axis == nil
      else { continue }
      let scale = Double(grid.scale)
      let biases = operation.bias.flatMap { edge in
        edge.node.input(edge.index).flatMap { view.constants.floats(view.tensor($0)) }
      }
      for channel in 0..<channels {
        var least = Double(Float.leastNormalMagnitude) * 2 / scale
        if let biases, !biases.isEmpty {
          let magnitude =
            biases.count == channels
            ? biases[channel].magnitude : biases.map(\.magnitude).max() ?? 0
          least = max(least, 1.0001 * 4 * Double(magnitude) / (4_294_967_294 * scale))
        }
        smallest[channel] = max(smallest[channel], Float(min(least, Double(Float.greatestFiniteMagnitude))))
      }
    }
    return smallest
  }
}
