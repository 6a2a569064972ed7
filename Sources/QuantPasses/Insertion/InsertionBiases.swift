import ONNXGraph
import ONNXTensor
import QuantCore

extension Insertion {
  /// Corrected biases by operand.
  mutating func correctBiases() throws -> [Edge: Tensor] {
    var result: [Edge: Tensor] = [:]
    guard options.correctsBias else { return result }
    for operation in plan.weighted {
      let node = operation.node
      guard let weight = roundedWeights[Edge(node: node, index: operation.weight)],
        let input = node.input(operation.input),
        let axis = BiasCorrection.channelAxis(node)
      else { continue }
      let tensor = view.tensor(input)
      let measured = judge.statistics(of: tensor)
      guard let means = measured.flatMap({ channelMeans($0, axis: axis) }) else {
        patch.note(entry(.biasCorrection, .node(node.label), "not corrected: no channel means of '\(tensor.name)'"))
        continue
      }
      let correction = BiasCorrection(node: node, inputShape: measured?.shape)
      guard var shifts = correction.shifts(weight: weight.exact, rounded: weight.rounded, means: means),
        shifts.allSatisfy(\.isFinite), shifts.contains(where: { $0 != 0 })
      else { continue }
      guard let edge = operation.bias else {
        patch.note(entry(.biasCorrection, .node(node.label), "not corrected: nothing behind it takes a bias"))
        continue
      }
      if node.opType == "Gemm" {
        let (alpha, beta) = (Double(node.float("alpha") ?? 1), Double(node.float("beta") ?? 1))
        guard beta != 0 else { continue }
        shifts = shifts.map { $0 * alpha / beta }
      }
      let old = edge.node.input(edge.index)
      var values = [Float](repeating: 0, count: shifts.count)
      var shape = [shifts.count]
      if let old {
        let source = view.tensor(old)
        guard !view.isDequantized(old), let stored = view.constants.floats(source),
          let extents = view.constants.shape(source),
          stored.count == shifts.count && extents.last == shifts.count || stored.count == 1
        else {
          patch.note(entry(.biasCorrection, .node(node.label), "not corrected: its bias is no constant per channel"))
          continue
        }
        if stored.count == shifts.count {
          (values, shape) = (stored, extents)
        } else {
          values = [Float](repeating: stored[0], count: shifts.count)
        }
      }
      for index in values.indices { values[index] = Float(Double(values[index]) - shifts[index]) }
      result[edge] = Tensor(values, shape: shape)
      patch.note(entry(.biasCorrection, .node(node.label), "bias corrected"))
    }
    return result
  }

  func channelMeans(_ statistics: TensorStatistics, axis: Int) -> [Double]? {
    if let means = statistics.channels(axis: axis)?.means { return means }
    guard let rank = statistics.shapes.first?.lowest.count, statistics.shapes.count == 1 else { return nil }
    return statistics.channels(axis: axis < 0 ? axis + rank : axis - rank)?.means
  }

  /// Constant operands of operators without weights, on the activation grid.
  mutating func quantizeConstants(_ corrected: [Edge: Tensor]) throws {
    var narrow: [Value: Value] = [:]
    var wide: [Value: Value] = [:]
    for edge in plan.constants {
      let isWide = wideNodes.contains(edge.node)
      var known: [Value: Value] {
        get { isWide ? wide : narrow }
        set { if isWide { wide = newValue } else { narrow = newValue } }
      }
      guard let value = edge.node.input(edge.index) else { continue }
      if corrected[edge] == nil, let done = known[value] {
        rewire(edge, to: done)
        continue
      }
      guard let stored = view.constants.tensor(value), let exact = corrected[edge] ?? stored.single,
        let values = exact.floats,
        let first = values.first
      else { continue }
      let range = values.reduce(ValueRange(first, first)) { ValueRange(min($0.lower, $1), max($0.upper, $1)) }
      let scheme = isWide ? target.wideScheme : target.activations
      let grid = try scheme.parameters(for: range).rounded(to: stored.elementType)
      let dequantized = try insertConstant(
        value, try grid.quantize(exact), grid, stored.elementType, .constant, before: edge.node,
        reason: PlacementRule.constant.sentence)
      if corrected[edge] == nil { known[value] = dequantized }
      rewire(edge, to: dequantized)
      report.decisions.append(
        Decision(
          tensor: value.name, rule: .constant, reason: PlacementRule.constant.sentence, parameters: grid,
          method: "constant", range: range))
    }
  }

  mutating func quantizeBiases(_ corrected: [Edge: Tensor]) throws {
    let constants = Set(plan.constants)
    let shapes = LintShapes(LintContext(model, graph))
    for operation in plan.weighted {
      guard let edge = operation.bias, !constants.contains(edge) else { continue }
      let old = edge.node.input(edge.index)
      if let old, view.isDequantized(old) { continue }
      let isOwn = edge.node == operation.node || becomesGemm(operation, shapes)
      let exact = corrected[edge] ?? old.flatMap { view.constants.tensor(view.tensor($0))?.single }
      let type = operation.node.input(operation.weight).flatMap { types[$0] } ?? .float32
      let isHalf = FloatTypes.isHalf(type)
      if target.bias == .int32, isOwn, let exact,
        let grid = isHalf ? halfBiasGrid(exact, type) : biasGrid(operation, exact)
      {
        let name = old?.name ?? "\(edge.node.output(0)?.name ?? edge.node.opType)_bias"
        let values = exact.array(Float.self)
        let codes = values.indices.map { index -> Int32 in
          let steps = (Double(values[index]) / Double(grid.scales[grid.axis == nil ? 0 : index])).rounded(
            .toNearestOrEven)
          return Int32(min(max(steps, -2_147_483_647), 2_147_483_647))
        }
        let flat = Tensor(codes, shape: [codes.count])
        let value = try insertConstant(
          Value(name), flat, grid, type, .integerBias, before: edge.node, reason: PlacementRule.integerBias.sentence
        )
        rewire(edge, to: value)
        report.decisions.append(
          Decision(
            tensor: name, rule: .integerBias, reason: PlacementRule.integerBias.sentence, parameters: grid,
            method: corrected[edge] == nil ? "weights" : "corrected"))
      } else if let changed = corrected[edge] {
        let name = old.map { "\($0.name)_corrected" } ?? "\(edge.node.output(0)?.name ?? edge.node.opType)_bias"
        let (value, edit) = constant(name, changed.rounded(to: type))
        patch.add(entry(.biasCorrection, .tensor(value.name), "float bias stored"), edit)
        rewire(edge, to: value)
      }
    }
  }

  /// onnxruntime makes a Gemm of a matrix product and the Add behind it, and quantizes no bias where no Q follows.
  private func becomesGemm(_ operation: PlacementPlan.Weighted, _ shapes: LintShapes) -> Bool {
    guard target.placement == .betweenQuantized, let input = operation.node.input(operation.input),
      let shape = shapes.shape(of: input, depth: 0)
    else { return false }
    return shape.count == 2 || (shape.count > 2 && shape.allSatisfy { $0 != nil })
  }

  /// Half precision cannot hold s_x · s_w. onnxruntime would quantize a float bias by it all the same and lose it (1.32), so
  /// there a float16 bias is stored as int32 with a scale that represents it exactly; elsewhere it stays float.
  func halfBiasGrid(_ bias: Tensor, _ type: ElementType) -> QuantizationParameters? {
    guard type == .float16, target.placement == .betweenQuantized, bias.rank == 1 else { return nil }
    let largest = bias.array(Float.self).map(\.magnitude).max() ?? 0
    guard largest <= Float(Float16.greatestFiniteMagnitude) else { return nil }
    // The smallest float16 divides all others; 31 bits of its multiples reach to 128.
    var scale = Float(Float16.leastNonzeroMagnitude)
    while largest / scale >= 2_147_483_648 { scale *= 2 }
    return QuantizationParameters(elementType: .int32, scale: scale, zeroPoint: 0)
  }

  /// s_x · s_w in float32; nil where the bias has another form than one number per output channel or scales are unknown.
  func biasGrid(_ operation: PlacementPlan.Weighted, _ bias: Tensor) -> QuantizationParameters? {
    let node = operation.node
    if node.opType == "Gemm", node.float("alpha") ?? 1 != 1 || node.float("beta") ?? 1 != 1 { return nil }
    guard let input = node.input(operation.input), let x = grid(of: view.tensor(input), readBy: node), x.axis == nil,
      let weight = node.input(operation.weight)
    else { return nil }
    let w =
      roundedWeights[Edge(node: node, index: operation.weight)]?.parameters
      ?? view.pairs[view.tensor(weight)]?.parameters
    guard QuantizationScheme.format(of: x.elementType) == nil else { return nil }
    guard let w, QuantizationScheme.format(of: w.elementType) == nil,
      w.scales.count == 1 || w.scales.count == bias.count, bias.count > 0
    else { return nil }
    // With several groups the scales of a ConvTranspose count the channels of one group.
    guard bias.rank == 1 || bias.shape.dropLast().allSatisfy({ $0 == 1 }) else { return nil }
    let scales = w.scales.map { x.scale * $0 }
    let values = bias.array(Float.self)
    for (index, value) in values.enumerated() {
      let scale = scales[scales.count == 1 ? 0 : index]
      guard scale.isNormal, Double(value.magnitude) / Double(scale) <= 2_147_483_647 else { return nil }
    }
    let zeros = [Int32](repeating: 0, count: scales.count)
    return scales.count == 1 && w.axis == nil
      ? QuantizationParameters(elementType: .int32, scale: scales[0], zeroPoint: 0)
      : QuantizationParameters(elementType: .int32, scales: scales, zeroPoints: zeros, axis: 0)
  }
}
